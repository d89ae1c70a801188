"""Statistics of a machine's normal sound, stored in its model file.

They contain levels only: no sound can be reconstructed from them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
import numpy.typing as npt

from asd_monitor.normal_sound.band_levels import (
    SHORT_FRAME_S,
    BandFrames,
    DoubleArray,
    band_edges_hz,
    rounding_noise_db,
    to_db,
)

RANGE = (0.01, 0.99)
"""Quantiles of the levels of normal windows that bound their range."""
VERSION = 1
"""Version of the bands and levels; statistics of another version cannot be compared with."""
DECIMALS = 2
MIN_WINDOW_S = 1.0


def comparison_window_s(window_s: float) -> float:
    """Return the length of the windows whose levels are compared, for a model's window."""
    return max(window_s, MIN_WINDOW_S)


@dataclass(frozen=True)
class LevelRange:
    """Range of a level in normal sound, by band; each ``(bands,)`` in dB."""

    low_db: DoubleArray
    median_db: DoubleArray
    high_db: DoubleArray

    @classmethod
    def fit(cls, levels_db: DoubleArray) -> Self:
        """Compute the range of ``(windows, bands)`` levels."""
        low, high = np.quantile(levels_db, RANGE, axis=0)
        return cls(low, np.median(levels_db, axis=0), high)

    def plus_noise(self, noise_db: DoubleArray) -> "LevelRange":
        """Return the range with independent noise of ``(bands,)`` levels added."""
        noise = 10 ** (noise_db / 10)
        return LevelRange(
            *(
                to_db(10 ** (level / 10) + noise)
                for level in (self.low_db, self.median_db, self.high_db)
            )
        )

    def to_dict(self) -> dict[str, list[float]]:
        """Return JSON-ready values."""
        return {
            "low_db": _rounded(self.low_db),
            "median_db": _rounded(self.median_db),
            "high_db": _rounded(self.high_db),
        }

    @classmethod
    def from_dict(cls, values: object, bands: int) -> Self:
        """Restore what :meth:`to_dict` returned; raise ValueError if it is something else."""
        if not isinstance(values, dict):
            raise ValueError(f"expected an object, got {type(values).__name__}")
        return cls(
            *(_read_numbers(values, name, bands) for name in ("low_db", "median_db", "high_db"))
        )


@dataclass(frozen=True)
class NormalSound:
    """Levels of a machine's normal sound in sixth-octave bands.

    Attributes
    ----------
    sample_rate_hz
        Of the sound.
    window_s
        Length of the windows that the levels are of.
    windows
        Number of windows.
    mean
        Range of the windows' mean level.
    peak
        Range of the windows' peak level, in the bands of short frames.
    """

    sample_rate_hz: int
    window_s: float
    windows: int
    mean: LevelRange
    peak: LevelRange

    @classmethod
    def fit(
        cls, windows: Iterable[npt.NDArray[np.float32]], sample_rate_hz: int, window_s: float
    ) -> Self:
        """Compute the statistics of normal windows, at least one."""
        frames = (BandFrames.of(window, sample_rate_hz) for window in windows)
        levels = [(part.mean_db(), part.peak_db()) for part in frames]
        return cls.from_levels(levels, sample_rate_hz, window_s)

    @classmethod
    def from_levels(
        cls,
        levels: Sequence[tuple[DoubleArray, DoubleArray]],
        sample_rate_hz: int,
        window_s: float,
    ) -> Self:
        """Compute the statistics of the mean and peak levels of normal windows."""
        if not levels:
            raise ValueError("expected at least one window of normal sound")
        mean, peak = (np.stack(part) for part in zip(*levels, strict=True))
        return cls(sample_rate_hz, window_s, len(mean), LevelRange.fit(mean), LevelRange.fit(peak))

    def as_16_bits(self) -> "NormalSound":
        """Return the statistics of the same sound with the rounding noise of 16-bit samples.

        A quiet microphone may deliver less than that at high frequencies.
        """
        noise_db = rounding_noise_db(self.sample_rate_hz)
        short_noise_db = rounding_noise_db(self.sample_rate_hz, SHORT_FRAME_S)
        return replace(
            self, mean=self.mean.plus_noise(noise_db), peak=self.peak.plus_noise(short_noise_db)
        )

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores."""
        return {
            "version": VERSION,
            "sample_rate_hz": self.sample_rate_hz,
            "window_s": self.window_s,
            "windows": self.windows,
            "edges_hz": _rounded(np.array(band_edges_hz(self.sample_rate_hz))),
            "mean": self.mean.to_dict(),
            "peak": self.peak.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self | None:
        """Restore what :meth:`to_dict` returned; None if another version wrote it.

        Raises
        ------
        ValueError
            If a value is missing or invalid.
        """
        if values.get("version") != VERSION:
            return None
        rate_hz, window_s, windows = (
            values.get(name) for name in ("sample_rate_hz", "window_s", "windows")
        )
        if type(rate_hz) is not int or not 1000 <= rate_hz <= 768_000:
            raise ValueError(f"sample_rate_hz: expected 1000 to 768000, got {rate_hz!r}")
        if not isinstance(window_s, int | float) or not 0 < window_s < math.inf:
            raise ValueError(f"window_s: expected a positive number, got {window_s!r}")
        if type(windows) is not int or windows < 1:
            raise ValueError(f"windows: expected a positive integer, got {windows!r}")
        expected = np.array(band_edges_hz(rate_hz))
        edges_hz = _read_numbers(values, "edges_hz", len(expected))
        if not np.allclose(edges_hz, expected, rtol=1e-3):
            raise ValueError("edges_hz: expected those of the sample rate")
        short_bands = len(band_edges_hz(rate_hz, SHORT_FRAME_S)) - 1
        return cls(
            rate_hz,
            float(window_s),
            windows,
            LevelRange.from_dict(values.get("mean"), len(expected) - 1),
            LevelRange.from_dict(values.get("peak"), short_bands),
        )


def _rounded(values: DoubleArray) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


def _read_numbers(values: Mapping[str, object], name: str, count: int) -> DoubleArray:
    found = values.get(name)
    try:
        numbers = np.asarray(cast("list[float]", found), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers, got {str(found)[:80]}") from error
    if numbers.shape != (count,) or not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name}: expected {count} finite numbers")
    return numbers
