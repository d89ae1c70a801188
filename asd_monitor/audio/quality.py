"""Quality of a window's samples: faults of the microphone, found before the model runs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asd_monitor.audio.constant_runs import constant_block_values
from asd_monitor.audio.hum import level_without_hum_db
from asd_monitor.records import FloatArray, Quality

FULL_SCALE = 0.98
"""A sample of this size counts as clipped: resampling moves clipped peaks a little below 1."""
MAX_CLIPPED_FRACTION = 0.01
MAX_SAMPLE = 8.0
"""A larger sample is not audio: even a resampled square wave stays below 2."""
MAX_DC_OFFSET = 0.1
"""A larger constant offset is a fault of the input, which has little room left for sound."""
MIN_OFFSET_FRACTION = 0.02
"""An offset above this fraction of the sound's RMS is removed. Windows of real recordings have
less than 0.006 and stay exactly as they are; a smaller offset changes the lowest band by under
0.3 dB."""
MIN_OFFSET_DEVIATIONS = 4.0
"""The same in standard deviations of the mean of white noise, which matters for short windows."""
QUIET_DBFS = -70.0
"""Below this, sound is so quiet that the noise of the input may be much of it."""
MIN_LEVEL_DBFS = -85.0
"""Below this, about two steps of 16 bits, an input delivers its own noise and no sound."""

DESCRIPTIONS = {
    Quality.OK: "the model gave no score",
    Quality.CLIPPED: (
        "the microphone is overdriven: too many samples at full scale; reduce the gain, or move "
        "the microphone away from the machine"
    ),
    Quality.DC: (
        "a constant offset dominates the signal: check the microphone's power and connection, or "
        "use another one"
    ),
    Quality.SILENT: "digital silence: the microphone is muted or not connected",
    Quality.STUCK: "the samples are stuck at one value: check the microphone and its cable",
    Quality.NON_FINITE: "the samples are not finite numbers: check the driver",
    Quality.HUM: (
        "hum of the mains and no other sound: the microphone or its cable is not connected, or its "
        "shield is"
    ),
    Quality.ERROR: "the model gave no finite score",
}
"""Why a window is not scored or its score is doubtful, and what to do, for the user."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Result of :func:`assess`."""

    quality: Quality
    level_dbfs: float | None
    """RMS without the offset, in dB relative to a full-scale square wave; None for digital
    silence or no audio."""
    offset: float = 0.0
    """Constant offset of the samples, to be removed before they are scored; 0.0 where it is
    negligible."""


def assess(samples: FloatArray, rate_hz: int | None = None) -> Assessment:
    """Determine the quality and the level of a window.

    Parameters
    ----------
    samples
        ``(n,)`` float32, n >= 1.
    rate_hz
        Sample rate, by which hum of the mains is recognised; None: it is not looked for.

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
    offset, rms = _separate_offset(samples)
    level_dbfs = _dbfs(rms)
    constant_values = constant_block_values(samples)
    if len(constant_values):
        stuck = bool(constant_values.any())
        return Assessment(Quality.STUCK if stuck else Quality.SILENT, level_dbfs)
    if peak >= FULL_SCALE:
        clipped_fraction = np.count_nonzero(np.abs(samples) >= FULL_SCALE) / len(samples)
        if clipped_fraction > MAX_CLIPPED_FRACTION:
            return Assessment(Quality.CLIPPED, level_dbfs, offset)
    no_sound = level_dbfs is None or level_dbfs < MIN_LEVEL_DBFS
    if abs(offset) > MAX_DC_OFFSET or (no_sound and abs(offset) > max(3 * rms, 1e-3)):
        return Assessment(Quality.DC, level_dbfs, offset)
    if rate_hz is not None and level_dbfs is not None and not no_sound:
        rest_db = level_without_hum_db(samples, rate_hz)
        if rest_db is not None and level_dbfs + rest_db < MIN_LEVEL_DBFS:
            return Assessment(Quality.HUM, level_dbfs, offset)
    return Assessment(Quality.OK, level_dbfs, offset)


def usable_levels_dbfs(windows: Iterable[FloatArray]) -> list[float]:
    """Return the levels of the windows without any fault."""
    assessments = map(assess, windows)
    return [
        assessment.level_dbfs
        for assessment in assessments
        if assessment.quality is Quality.OK and assessment.level_dbfs is not None
    ]


def without_offset(samples: FloatArray) -> FloatArray:
    """Return a window without its constant offset; itself where the offset is negligible.

    All windows pass through this before they are scored or learned from. Being computed per
    window, it is the same for a stream and for a recording; it acts as a high-pass filter at the
    reciprocal of the window's length, far below the lowest band of any model.
    """
    if not len(samples) or not np.isfinite(samples).all():
        return samples
    offset, _ = _separate_offset(samples)
    return samples - np.float32(offset) if offset else samples


def _separate_offset(samples: FloatArray) -> tuple[float, float]:
    """Return the offset, 0.0 where it is negligible, and the RMS of the sound without it."""
    mean = float(np.add.reduce(samples, dtype=np.float64)) / len(samples)
    rms = math.sqrt(float(samples @ samples) / len(samples))
    if abs(mean) <= rms * max(MIN_OFFSET_FRACTION, MIN_OFFSET_DEVIATIONS / len(samples) ** 0.5):
        return 0.0, rms
    centred = samples - np.float32(mean)
    return mean, math.sqrt(float(centred @ centred) / len(samples))


def _dbfs(rms: float) -> float | None:
    return 20 * math.log10(rms) if rms > 0 else None
