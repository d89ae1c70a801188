"""Find the recording of normal sound that resembles an event most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.files import read_recording
from asd_monitor.errors import SourceError
from asd_monitor.normal_sound.band_levels import BandFrames, DoubleArray
from asd_monitor.normal_sound.statistics import NormalSound

MAX_RECORDINGS = 240
"""Recordings that are compared: 40 minutes of 10 s each. Of more, evenly spaced ones."""


@dataclass(frozen=True)
class NormalRecordings:
    """Normal recordings of a machine with their levels.

    Attributes
    ----------
    paths
        The recordings.
    levels_db
        ``(recordings, bands)``: their mean levels.
    normal
        Statistics of their windows.
    """

    paths: tuple[Path, ...]
    levels_db: DoubleArray
    normal: NormalSound

    @classmethod
    def read(
        cls, folder: Path, sample_rate_hz: int, window_samples: int
    ) -> "NormalRecordings | None":
        """Read a folder of recordings; None if none of them can be read."""
        found = sorted(folder.glob("normal_*.wav")) if folder.is_dir() else []
        paths, levels, windows = [], [], []
        for path in _evenly_spaced(found, MAX_RECORDINGS):
            try:
                samples = read_recording(path, sample_rate_hz)
            except SourceError:
                continue  # learning has reported it
            frames = BandFrames.of(samples, sample_rate_hz)
            paths.append(path)
            levels.append(frames.mean_db())
            windows += _window_levels(frames, len(samples), sample_rate_hz, window_samples)
        if not windows:
            return None
        normal = NormalSound.from_levels(windows, sample_rate_hz, window_samples / sample_rate_hz)
        return cls(tuple(paths), np.stack(levels), normal)

    def nearest(self, level_db: DoubleArray) -> Path:
        """Return the recording whose levels are nearest to ``(bands,)`` levels.

        Bands that vary in normal sound count less.
        """
        spread = np.maximum(self.normal.mean.high_db - self.normal.mean.low_db, 1.0)
        distances = (((self.levels_db - level_db) / spread) ** 2).sum(1)
        return self.paths[int(np.argmin(distances))]

    def read_nearest(self, path: Path, sample_rate_hz: int) -> npt.NDArray[np.float32] | None:
        """Return the samples of a recording; None if it cannot be read any more."""
        try:
            return read_recording(path, sample_rate_hz)
        except SourceError:
            return None


def _window_levels(
    frames: BandFrames, samples: int, sample_rate_hz: int, window_samples: int
) -> list[tuple[DoubleArray, DoubleArray]]:
    window_s = window_samples / sample_rate_hz
    count = max(1, samples // window_samples)
    parts = [frames.part(index * window_s, (index + 1) * window_s) for index in range(count)]
    return [(part.mean_db(), part.peak_db()) for part in parts]


def _evenly_spaced(paths: Sequence[Path], count: int) -> list[Path]:
    if len(paths) <= count:
        return list(paths)
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]
