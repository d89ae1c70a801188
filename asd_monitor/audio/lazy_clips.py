"""Recordings that are read when they are needed: memory stays flat with any number of them."""

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.files import read_recording
from asd_monitor.records import FloatArray

TRIM_EVERY = 64
"""After so many clips read, freed memory is given back. Left to itself, glibc keeps it in pieces
that do not serve what comes next: fitting to 225 min of sound took 2.0 GB in place of 0.8."""


class ClipCache:
    """Read clips, and keep the last one, since windows are asked for in order.

    Parameters
    ----------
    sample_rate_hz
        Rate of the samples.
    channel
        Which channel, from 0.
    """

    def __init__(self, sample_rate_hz: int, channel: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._path: Path | None = None
        self._samples: FloatArray = np.zeros(0, np.float32)
        self._until_trim = TRIM_EVERY

    def read(self, path: Path) -> FloatArray:
        """Return ``(n,)`` float32; raises SourceError as :func:`read_recording` does."""
        if path != self._path:
            self._path = None
            self._samples = read_recording(path, self._sample_rate_hz, self._channel)
            self._path = path
            self._until_trim -= 1
            if not self._until_trim:
                self._until_trim = TRIM_EVERY
                with suppress(AttributeError):  # only glibc has it, and needs it
                    ctypes.CDLL(None).malloc_trim(0)
        return self._samples

    def open_clip(self, path: Path) -> FloatArray:
        """Return what can be used as the array of a clip's samples; raises as :meth:`read`."""
        return cast("FloatArray", LazyClip(path, self))


class LazyClip:
    """Samples of a clip on disk, as far as fitting a detector needs an array."""

    def __init__(self, path: Path, reader: ClipCache) -> None:
        self._path = path
        self._reader = reader
        self._length = len(reader.read(path))

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._length

    def __getitem__(self, part: slice) -> FloatArray:
        """Return some of the samples."""
        return self._reader.read(self._path)[part]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.generic]:
        """Return all samples."""
        return np.asarray(self._reader.read(self._path), dtype=dtype)
