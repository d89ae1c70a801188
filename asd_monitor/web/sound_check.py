"""Warnings about the sound of a microphone, while a page shows its level."""

import math

import numpy as np

from asd_monitor.audio.hum import find_hum
from asd_monitor.audio.quality import QUIET_DBFS, Assessment, assess
from asd_monitor.records import FloatArray, Quality

OFFSET_WARNING = 0.01
"""A constant offset of this part of full scale is no fault yet, but unusual."""
BURST_DB = 15.0
"""A frame this far above the background is a tap."""
PUMPING_DB = 5.0
"""Fall of the background after a tap, and rise later, from which automatic gain is suspected."""


def find_warnings(samples: FloatArray, rate_hz: int) -> list[str]:
    """Return what is unusual about a few seconds of sound, and what to do, in sentences."""
    if not len(samples):
        return []
    assessment = assess(samples, rate_hz)
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
    hum = find_hum(samples, rate_hz)
    if hum is not None:
        warnings.append(
            f"Hum at the mains frequency ({hum.mains_hz:.0f} Hz): from the cable or its earth, or "
            "from the machine itself. With the machine off, the cable alone remains."
        )
    return warnings


def _describe_fault(assessment: Assessment) -> str:
    match assessment.quality:
        case Quality.SILENT:
            return "Digital silence: it is muted, or nothing is connected."
        case Quality.STUCK | Quality.NON_FINITE:
            return "No sound: its samples are constant or invalid. Try another port or cable."
        case Quality.HUM:
            return "Hum of the mains and no other sound: check its cable and its connection."
        case Quality.CLIPPED:
            return "Too loud, it clips: reduce the gain, or move it away from the machine."
        case Quality.DC:
            return "A constant offset dominates: check its power and its connection."
    return ""


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
