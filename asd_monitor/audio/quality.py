"""Quality of a window's samples: faults of the microphone, found before the model runs."""

import math
from dataclasses import dataclass

import numpy as np

from asd_monitor.audio.constant_runs import constant_block_values
from asd_monitor.records import FloatArray, Quality

FULL_SCALE = 0.98
"""A sample of this size counts as clipped: resampling moves clipped peaks a little below 1."""
MAX_CLIPPED_FRACTION = 0.01
MAX_SAMPLE = 8.0
"""A larger sample is not audio: even a resampled square wave stays below 2."""
MAX_DC_OFFSET = 0.1


@dataclass(frozen=True, slots=True)
class Assessment:
    """Result of :func:`assess`."""

    quality: Quality
    level_dbfs: float | None
    """RMS in dB relative to a full-scale square wave; None for digital silence or no audio."""


def assess(samples: FloatArray) -> Assessment:
    """Determine the quality and the level of a window.

    Parameters
    ----------
    samples
        ``(n,)`` float32, n >= 1.

    Returns
    -------
    assessment
        The most serious fault found, and the level.
    """
    # Ufuncs are called directly: the array methods wrap them in Python functions.
    low, high = float(np.minimum.reduce(samples)), float(np.maximum.reduce(samples))
    peak = max(-low, high)
    if not peak <= MAX_SAMPLE:  # also true for NaN
        return Assessment(Quality.NON_FINITE, None)
    if low == high:
        return Assessment(Quality.SILENT if peak == 0 else Quality.STUCK, _dbfs(peak))
    mean_square = float(samples @ samples) / len(samples)
    level_dbfs = _dbfs(math.sqrt(mean_square))
    constant_values = constant_block_values(samples)
    if len(constant_values):
        stuck = bool(constant_values.any())
        return Assessment(Quality.STUCK if stuck else Quality.SILENT, level_dbfs)
    if peak >= FULL_SCALE:
        clipped_fraction = np.count_nonzero(np.abs(samples) >= FULL_SCALE) / len(samples)
        if clipped_fraction > MAX_CLIPPED_FRACTION:
            return Assessment(Quality.CLIPPED, level_dbfs)
    mean = float(np.add.reduce(samples)) / len(samples)
    spread = math.sqrt(max(mean_square - mean * mean, 0.0))
    if abs(mean) > MAX_DC_OFFSET or abs(mean) > max(3 * spread, 1e-3):
        return Assessment(Quality.DC, level_dbfs)
    return Assessment(Quality.OK, level_dbfs)


def _dbfs(rms: float) -> float | None:
    return 20 * math.log10(rms) if rms > 0 else None
