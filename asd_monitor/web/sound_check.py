"""Warnings about the sound of a microphone, while a page shows its level."""

import math

import numpy as np

from asd_monitor.audio.quality import Assessment, assess
from asd_monitor.records import FloatArray, Quality

QUIET_DBFS = -70.0
OFFSET_WARNING = 0.01
"""A constant offset of this part of full scale is no fault yet, but unusual."""
MAINS_HZ = (50.0, 60.0)
HUM_SHARE = 0.5
"""Share of the power below 1 kHz at the mains frequency and its first harmonics."""
HUM_LIMIT_HZ = 1000.0
HARMONICS = 6
LINE_WIDTH_HZ = 1.5

BURST_DB = 15.0
"""A frame this far above the background is a tap."""
PUMPING_DB = 5.0
"""Fall of the background after a tap, and rise later, from which automatic gain is suspected."""


def find_warnings(samples: FloatArray, rate_hz: int) -> list[str]:
    """Return what is unusual about a few seconds of sound, and what to do, in sentences."""
    if not len(samples):
        return []
    assessment = assess(samples)
    serious = _describe_fault(assessment)
    if serious:
        return [serious]
    warnings = []
    if assessment.level_dbfs is not None and assessment.level_dbfs < QUIET_DBFS:
        warnings.append("Very quiet: increase the gain, or move it closer to the machine.")
    if abs(assessment.offset) >= OFFSET_WARNING:
        percent = 100 * abs(assessment.offset)
        warnings.append(
            f"Constant offset of {percent:.0f} % of full scale: the input may be faulty."
        )
    mains_hz = find_hum(samples, rate_hz)
    if mains_hz is not None:
        warnings.append(
            f"Hum at the mains frequency ({mains_hz:.0f} Hz): from the cable or its earth, or from "
            "the machine itself. With the machine off, the cable alone remains."
        )
    return warnings


def _describe_fault(assessment: Assessment) -> str:
    match assessment.quality:
        case Quality.SILENT:
            return "Digital silence: it is muted, or nothing is connected."
        case Quality.STUCK | Quality.NON_FINITE:
            return "No sound: its samples are constant or invalid. Try another port or cable."
        case Quality.CLIPPED:
            return "Too loud, it clips: reduce the gain, or move it away from the machine."
        case Quality.DC:
            return "A constant offset dominates: check its power and its connection."
    return ""


def find_hum(samples: FloatArray, rate_hz: int) -> float | None:
    """Return the mains frequency if it and its harmonics dominate the low frequencies.

    Parameters
    ----------
    samples
        ``(n,)``, at least a second.
    rate_hz
        Sample rate.
    """
    if len(samples) < rate_hz:
        return None
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
    bin_hz = rate_hz / len(samples)
    frequencies = np.arange(len(power)) * bin_hz
    low = (frequencies > 20) & (frequencies < HUM_LIMIT_HZ)
    total = float(power[low].sum())
    if total <= 0:
        return None
    for mains_hz in MAINS_HZ:
        lines = np.zeros(len(power), bool)
        for harmonic in range(1, HARMONICS + 1):
            lines |= np.abs(frequencies - harmonic * mains_hz) <= LINE_WIDTH_HZ
        fundamental = np.abs(frequencies - mains_hz) <= LINE_WIDTH_HZ
        # A motor hums at twice the mains frequency; a cable mostly at the mains frequency itself.
        if power[lines].sum() > HUM_SHARE * total and power[fundamental].sum() > 0.1 * total:
            return mains_hz
    return None


def suspects_gain_control(levels_dbfs: FloatArray, frame_s: float) -> bool:
    """Return whether a loud sound has lowered the gain for some seconds.

    After a tap the background of an input with automatic gain control is quieter, and rises again.

    Parameters
    ----------
    levels_dbfs
        ``(n,)``: level of consecutive frames, the newest last.
    frame_s
        Length of a frame.
    """
    frames = levels_dbfs[np.isfinite(levels_dbfs)]
    before, soon, later = (math.ceil(seconds / frame_s) for seconds in (2.0, 1.0, 4.0))
    gap = math.ceil(0.25 / frame_s)
    for at in range(before, len(frames) - later - soon):
        background = float(np.median(frames[at - before : at - gap]))
        if frames[at] < background + BURST_DB:
            continue
        after = float(np.median(frames[at + gap : at + soon]))
        recovered = float(np.median(frames[at + later : at + later + soon]))
        if background - after >= PUMPING_DB and recovered - after >= PUMPING_DB:
            return True
    return False
