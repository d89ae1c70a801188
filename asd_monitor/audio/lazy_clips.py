"""Clips that are read from disk on access, so that memory does not grow with their number."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.files import read_recording
from asd_monitor.processes.memory import return_freed_memory
from asd_monitor.records import FloatArray

TRIM_INTERVAL_CLIPS = 64
"""Free memory is returned to the system after this many clips read. By default glibc keeps it in
fragments that later allocations cannot use: fitting 225 min of sound took 2.0 GB instead of 0.8."""


class ClipCache:
    """Reader of clips that keeps the last one, as windows are requested in order.

    Parameters
    ----------
    sample_rate_hz
        Sample rate of the result.
    channel
        Which channel, from 0.
    """

    def __init__(self, sample_rate_hz: int, channel: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._path: Path | None = None
        self._samples: FloatArray = np.zeros(0, np.float32)
        self._clips_until_trim = TRIM_INTERVAL_CLIPS

    def read(self, path: Path) -> FloatArray:
        """Return ``(n,)`` float32; raises SourceError as :func:`read_recording` does."""
        if path != self._path:
            self._path = None
            self._samples = read_recording(path, self.sample_rate_hz, self._channel)
            self._path = path
            self._clips_until_trim -= 1
            if not self._clips_until_trim:
                self._clips_until_trim = TRIM_INTERVAL_CLIPS
                return_freed_memory()
        return self._samples


class LazyClip:
    """Samples of a clip on disk: the part of numpy's interface that fitting needs.

    Parameters
    ----------
    path
        The recording.
    cache
        Reads it.
    first, last
        Part of the recording in samples; ``last`` None: up to its end.

    Raises
    ------
    SourceError
        If the clip cannot be read, now or on a later access.
    """

    def __init__(
        self, path: Path, cache: ClipCache, first: int = 0, last: int | None = None
    ) -> None:
        self._path = path
        self._cache = cache
        self._first = first
        self._last = len(cache.read(path)) if last is None else last

    def part(self, first: int, last: int) -> "LazyClip":
        """Return samples ``first`` up to but not including ``last`` as a clip of its own."""
        return LazyClip(self._path, self._cache, self._first + first, self._first + last)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._last - self._first

    def __getitem__(self, part: slice) -> FloatArray:
        """Return some of the samples."""
        return self._read()[part]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.generic]:
        """Return all samples."""
        return np.asarray(self._read(), dtype=dtype)

    def _read(self) -> FloatArray:
        return self._cache.read(self._path)[self._first : self._last]
