"""What the samples of a window say about the microphone, before any model has seen them."""

import math
from dataclasses import dataclass

import numpy as np

from asd_monitor.records import FloatArray, Quality

CONSTANT_RUN_SAMPLES = 800
"""A block of so many equal samples (50 ms at 16 kHz) does not come from a working microphone."""
FULL_SCALE = 0.98
"""Resampling rounds the edges of clipped peaks, so full scale is taken a little below 1."""
CLIPPED_FRACTION = 0.01
LARGEST_SAMPLE = 8.0
"""Beyond this a sample is no audio: even a resampled square wave stays below 2."""
DC_OFFSET = 0.1


@dataclass(frozen=True, slots=True)
class Assessment:
    """Result of :func:`assess`."""

    quality: Quality
    level_dbfs: float | None
    """RMS in dB relative to a full-scale square wave; None for digital silence or no audio."""


def assess(samples: FloatArray) -> Assessment:
    """Tell whether a window can be trusted.

    Parameters
    ----------
    samples
        ``(n,)`` float32, n >= 1.

    Returns
    -------
    assessment
        The gravest fault found, and the level.
    """
    # The ufuncs themselves, for the methods are Python functions around them.
    low, high = float(np.minimum.reduce(samples)), float(np.maximum.reduce(samples))
    peak = max(-low, high)
    if not peak <= LARGEST_SAMPLE:  # also true for NaN
        return Assessment(Quality.NON_FINITE, None)
    if low == high:
        return Assessment(Quality.SILENT if peak == 0 else Quality.STUCK, _dbfs(peak))
    mean_square = float(samples @ samples) / len(samples)
    level_dbfs = _dbfs(math.sqrt(mean_square))
    stuck = _constant_block(samples)
    if stuck is not None:
        return Assessment(stuck, level_dbfs)
    if peak >= FULL_SCALE and _fraction_at_full_scale(samples) > CLIPPED_FRACTION:
        return Assessment(Quality.CLIPPED, level_dbfs)
    mean = float(np.add.reduce(samples)) / len(samples)
    spread = math.sqrt(max(mean_square - mean * mean, 0.0))
    if abs(mean) > DC_OFFSET or abs(mean) > max(3 * spread, 1e-3):
        return Assessment(Quality.DC, level_dbfs)
    return Assessment(Quality.OK, level_dbfs)


def _dbfs(rms: float) -> float | None:
    return 20 * math.log10(rms) if rms > 0 else None


def _constant_block(samples: FloatArray) -> Quality | None:
    """Find blocks of one value; any run of twice the block length contains a whole block."""
    blocks = len(samples) // CONSTANT_RUN_SAMPLES
    if blocks == 0:
        return None
    grid = samples[: blocks * CONSTANT_RUN_SAMPLES].reshape(blocks, CONSTANT_RUN_SAMPLES)
    # The first eight samples settle it for nearly every block of real sound.
    candidates = grid[(grid[:, :8] == grid[:, :1]).all(axis=1)]
    constant = candidates[(candidates == candidates[:, :1]).all(axis=1)]
    if not len(constant):
        return None
    return Quality.STUCK if constant[:, 0].any() else Quality.SILENT


def _fraction_at_full_scale(samples: FloatArray) -> float:
    return float(np.count_nonzero(np.abs(samples) >= FULL_SCALE)) / len(samples)
