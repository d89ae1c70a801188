"""Recordings that are read when they are needed: memory stays flat with any number of them."""

from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from asd_monitor.recordings import read_recording
from asd_monitor.records import FloatArray


class ClipReader:
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

    def read(self, path: Path) -> FloatArray:
        """Return ``(n,)`` float32; raises SourceError as :func:`read_recording` does."""
        if path != self._path:
            self._path = None
            self._samples = read_recording(path, self._sample_rate_hz, self._channel)
            self._path = path
        return self._samples

    def samples_of(self, path: Path) -> FloatArray:
        """Return what can be used as the array of a clip's samples; raises as :meth:`read`."""
        return cast("FloatArray", ClipSamples(path, self))


class ClipSamples:
    """Samples of a clip on disk, as far as fitting a detector needs an array."""

    def __init__(self, path: Path, reader: ClipReader) -> None:
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
