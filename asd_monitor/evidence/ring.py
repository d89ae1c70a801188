"""The newest sound of a machine, in memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_monitor.records import AudioChunk

RING_S = 90.0
"""Sound that is kept: 2.9 MB at 16 kHz, 8.6 MB at 48 kHz, 35 MB at 192 kHz."""
FULL_SCALE = 32767
MAX_COPY_SAMPLES = 65_536
"""Samples that are converted at once, which bounds the memory of a conversion."""

Int16Array = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a machine's sound."""

    samples: Int16Array
    """``(n,)``; lost sound is zero."""
    start: int
    """Index of the first sample, as in :class:`~asd_monitor.records.AudioChunk`."""
    sample_rate_hz: int

    @property
    def end(self) -> int:
        """Index after the last sample."""
        return self.start + len(self.samples)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate_hz

    def to_float(self) -> npt.NDArray[np.float32]:
        """Return the samples in [-1, 1]."""
        return self.samples.astype(np.float32) / np.float32(FULL_SCALE)


class SoundRing:
    """Keep the newest sound of one machine as 16-bit samples.

    One thread writes, any number of threads read, and no thread ever waits for another: a reader
    copies, then discards what the writer may have overwritten meanwhile.

    Parameters
    ----------
    sample_rate_hz
        Sample rate of the sound.
    length_s
        Length of the sound that is kept.
    """

    def __init__(self, sample_rate_hz: int, length_s: float = RING_S) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._length_s = length_s
        self._samples: Int16Array = np.zeros(round(length_s * sample_rate_hz), np.int16)
        self._start = 0  # of the sound since the ring was last empty
        self._end = 0
        self._writing_end = 0  # index up to which samples may be being overwritten

    def restart(self, sample_rate_hz: int) -> None:
        """Discard the sound and continue at a lower sample rate; to be called by the writer."""
        self._start = self._end = self._writing_end = 0
        self._samples = np.zeros(round(self._length_s * sample_rate_hz), np.int16)
        self.sample_rate_hz = sample_rate_hz

    def release(self) -> None:
        """Free the memory of a ring that no thread writes any more; its sound is lost."""
        self._start = self._writing_end = self._end
        self._samples = np.zeros(1, np.int16)

    @property
    def end(self) -> int:
        """Index after the newest sample."""
        return self._end

    @property
    def nbytes(self) -> int:
        """Size of the buffer in bytes."""
        return self._samples.nbytes

    def push(self, chunk: AudioChunk) -> None:
        """Append a chunk; sound that was lost before it is zero."""
        if chunk.start < self._end or self._end == 0:
            self._start = self._end = self._writing_end = chunk.start
        gap = chunk.start - self._end
        if gap:
            self._fill(min(gap, len(self._samples)), chunk.start)
        for first in range(0, len(chunk.samples), MAX_COPY_SAMPLES):
            self._append(chunk.samples[first : first + MAX_COPY_SAMPLES])

    def cut(self, start: int, end: int) -> Cut:
        """Copy the samples from ``start`` to ``end``, or those of them that are still there."""
        samples = self._samples  # once, because a restart replaces it
        newest = self._end
        end = min(end, newest)
        start = max(start, self._oldest(), self._start)
        copy = _copy(samples, start, end) if start < end else np.zeros(0, np.int16)
        lost = min(max(0, self._oldest() - start), len(copy))  # overwritten meanwhile
        return Cut(copy[lost:], start + lost, self.sample_rate_hz)

    def snapshot(self) -> Cut:
        """Copy everything that is kept."""
        return self.cut(self._oldest(), self._end)

    def _oldest(self) -> int:
        return max(0, self._writing_end - len(self._samples))

    def _append(self, samples: npt.NDArray[np.float32]) -> None:
        # A ring shorter than the chunk keeps its end.
        skipped = max(0, len(samples) - len(self._samples))
        end = self._end + len(samples)
        self._writing_end = end
        scaled = np.nan_to_num(samples[skipped:]) * FULL_SCALE
        rounded = np.clip(np.rint(scaled), -FULL_SCALE - 1, FULL_SCALE)
        self._write(self._end + skipped, rounded)
        self._end = end

    def _fill(self, count: int, end: int) -> None:
        self._writing_end = end
        self._write(end - count, np.zeros(count, np.int16))
        self._end = end

    def _write(self, start: int, values: npt.NDArray[Any]) -> None:
        first = start % len(self._samples)
        until_wrap = min(len(values), len(self._samples) - first)
        self._samples[first : first + until_wrap] = values[:until_wrap]
        self._samples[: len(values) - until_wrap] = values[until_wrap:]


def _copy(samples: Int16Array, start: int, end: int) -> Int16Array:
    """Return the samples of a ring from one index to another."""
    first = start % len(samples)
    until_wrap = min(end - start, len(samples) - first)
    copy = np.empty(end - start, np.int16)
    copy[:until_wrap] = samples[first : first + until_wrap]
    copy[until_wrap:] = samples[: len(copy) - until_wrap]
    return copy
