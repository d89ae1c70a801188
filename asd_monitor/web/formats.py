"""Numbers, times and words as the pages display them."""

import math
import time
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from asd_monitor.records import State

STATE_WORDS = {
    State.ALARM: "Alarm",
    State.WARNING: "Warning",
    State.UNKNOWN: "Unknown",
    State.LEARNING: "Learning",
    State.OFF: "Off",
    State.NORMAL: "Normal",
}
"""The states in words, in order of urgency."""
URGENCY = {state: n for n, state in enumerate(STATE_WORDS)}


def format_state(state: State | str) -> str:
    """Return a state in words."""
    return STATE_WORDS[State(state)]


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number with a few significant digits, or a dash."""
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def format_level(level_dbfs: float | None) -> str:
    """Return a level in dB below full scale."""
    return "no sound" if level_dbfs is None else f"{level_dbfs:.0f} dB"


def format_duration(seconds: float | None) -> str:
    """Return a duration in at most two units, such as ``2 min 5 s``."""
    if seconds is None:
        return "–"  # noqa: RUF001
    total = round(max(0.0, seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for n, (unit, length) in enumerate(units):
        if total >= length or unit == "s":
            text = f"{total // length} {unit}"
            rest = total % length
            if n < 3 and rest // units[n + 1][1]:
                text += f" {rest // units[n + 1][1]} {units[n + 1][0]}"
            return text
    raise AssertionError(total)


def format_time(at_s: float | None) -> Markup | str:
    """Return a ``<time>`` with date, time and offset; the page's script uses the viewer's zone."""
    if at_s is None:
        return "–"  # noqa: RUF001
    local = time.localtime(at_s)
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    text = time.strftime("%Y-%m-%d %H:%M:%S ", local) + format_offset(local.tm_gmtoff)
    return Markup('<time datetime="{}">{}</time>').format(iso, escape(text))


def format_offset(offset_s: int) -> str:
    """Return an offset from UTC as ``UTC+02:00``."""
    if offset_s == 0:
        return "UTC"
    sign, minutes = "+-"[offset_s < 0], abs(offset_s) // 60
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


FILTERS: dict[str, Callable[..., Any]] = {
    "state_word": format_state,
    "number": format_number,
    "level": format_level,
    "duration": format_duration,
    "time": format_time,
}
"""Filters of the templates."""
