"""Chunks of any length in, recordings of one length out, and what is left of short ones."""

import numpy as np

from asd_monitor.records import AudioChunk, FloatArray, Window

SHORTEST_S = 2.0
"""A whole recording counts from this length on; it holds one of the shortest windows."""
SHORTEST_REST_S = 5.0
"""What is left at a recording's end counts from this length on: less would only force short
windows on the whole machine, as a window must fit into every recording."""


class ClipSegmenter:
    """Cut a stream into recordings that follow each other, of ``clip_samples`` each.

    Lost audio begins a new one. Where a recording ends (chunks name the recording that they are
    from), what is left of it is a recording of its own, if it is long enough to be of use.

    Parameters
    ----------
    machine
        Name that the recordings carry.
    clip_samples
        Length of a recording in samples.
    sample_rate_hz
        Rate of the samples.
    """

    def __init__(self, machine: str, clip_samples: int, sample_rate_hz: int) -> None:
        self._machine = machine
        self._clip_samples = clip_samples
        self._sample_rate_hz = sample_rate_hz
        self._pieces: list[FloatArray] = []
        self._pending = 0
        self._start = 0
        self._next_start = 0
        self._captured_at = 0.0
        self._recording: str | None = None
        self._cut_before = False

    @property
    def pending_samples(self) -> int:
        """Samples taken that are not part of a recording yet."""
        return self._pending

    def push(self, chunk: AudioChunk) -> list[Window]:
        """Take a chunk and return the recordings that it completes, oldest first."""
        clips: list[Window] = []
        if chunk.recording != self._recording:
            clips += self.finish()
            self._recording = chunk.recording
        if chunk.start != self._next_start:
            self._pieces, self._pending = [], 0
        if not self._pending:
            self._start = chunk.start
        self._pieces.append(chunk.samples)
        self._pending += len(chunk.samples)
        self._next_start = chunk.start + len(chunk.samples)
        self._captured_at = chunk.captured_at
        while self._pending >= self._clip_samples:
            clips.append(self._cut(self._clip_samples))
            self._cut_before = True
        return clips

    def finish(self) -> list[Window]:
        """Return what is left of the recording, if it is long enough, and begin anew."""
        least_s = SHORTEST_REST_S if self._cut_before else SHORTEST_S
        long_enough = self._pending >= least_s * self._sample_rate_hz
        rest = [self._cut(self._pending)] if long_enough else []
        self._pieces, self._pending, self._cut_before = [], 0, False
        return rest

    def _cut(self, length: int) -> Window:
        together = np.concatenate(self._pieces)
        samples = together[:length].copy()
        samples.flags.writeable = False
        self._pieces, self._pending = [together[length:]], len(together) - length
        clip = Window(
            machine=self._machine,
            samples=samples,
            start=self._start,
            captured_at=self._captured_at - self._pending / self._sample_rate_hz,
            recording=self._recording or "",
        )
        self._start += length
        return clip
