"""Detect runs of equal samples, a sign of a muted, stuck or disconnected microphone.

The same limit applies to the samples of a window and to the frames of a device.
"""

import numpy as np

from asd_monitor.records import FloatArray

MIN_CONSTANT_SAMPLES = 800
"""Shorter runs of equal samples are ignored; 50 ms at 16 kHz."""


class ConstantRun:
    """Length of the run of equal samples at the end of a stream.

    Attributes
    ----------
    length
        Samples since the sound last changed; 0 for a run that is too short to count.
    value
        The last sample.
    """

    def __init__(self) -> None:
        self.length = 0
        self.value = 0.0

    def update(self, samples: FloatArray) -> None:
        """Process the next samples of the stream, at least one."""
        previous, self.value = self.value, float(samples[-1])
        if samples[-2:][0] != self.value:  # the common case: the last two samples differ
            self.length = 0
            return
        other = np.flatnonzero(samples != self.value)
        if len(other):
            length = len(samples) - 1 - int(other[-1])
            self.length = length if length >= MIN_CONSTANT_SAMPLES else 0
        else:
            self.length = len(samples) + (self.length if self.value == previous else 0)


def constant_block_values(samples: FloatArray) -> FloatArray:
    """Return the value of each constant block of ``MIN_CONSTANT_SAMPLES`` of a window.

    Blocks do not overlap, so a run of twice that length always contains one; a shorter run may
    not.
    """
    blocks = len(samples) // MIN_CONSTANT_SAMPLES
    grid = samples[: blocks * MIN_CONSTANT_SAMPLES].reshape(blocks, MIN_CONSTANT_SAMPLES)
    # In real sound the first eight samples rule out nearly every block.
    candidates = grid[(grid[:, :8] == grid[:, :1]).all(axis=1)]
    values: FloatArray = candidates[(candidates == candidates[:, :1]).all(axis=1), 0]
    return values
