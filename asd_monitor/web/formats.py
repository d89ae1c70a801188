"""Numbers, times and words as the pages display them."""

import math
import time
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from asd_monitor.records import Quality, ScoredWindow, State
from asd_monitor.terminal.durations import format_duration

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


QUIET_DBFS, LOUD_DBFS = -70.0, -3.0
"""Levels at which a microphone is too quiet or too loud to be trusted."""


def format_loudness(window: ScoredWindow | None) -> str:
    """Return the level of a window with an assessment."""
    level_dbfs = None if window is None else window.score.level_dbfs
    if window is None or level_dbfs is None:
        return "no sound"
    word = "good"
    if window.score.quality is Quality.CLIPPED or level_dbfs > LOUD_DBFS:
        word = "too loud"
    elif level_dbfs < QUIET_DBFS:
        word = "very quiet"
    return f"{level_dbfs:.0f} dB, {word}"


def format_duration_or_dash(seconds: float | None) -> str:
    """Return a duration in at most two units, or a dash."""
    return "–" if seconds is None else format_duration(seconds)  # noqa: RUF001


def format_time(at_s: float | None) -> Markup | str:
    """Return a ``<time>`` with date, time and zone; the page's script uses the viewer's zone."""
    if at_s is None:
        return "–"  # noqa: RUF001
    local = time.localtime(at_s)
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    text = time.strftime("%Y-%m-%d %H:%M:%S ", local) + name_zone(local)
    return Markup('<time datetime="{}">{}</time>').format(iso, escape(text))


def name_zone(local: time.struct_time) -> str:
    """Return the name of this computer's time zone, or its offset if it has no name."""
    name = local.tm_zone
    return name if name.isalpha() else format_offset(local.tm_gmtoff)


def describe_zone(local: time.struct_time) -> str:
    """Return the time zone of this computer with its offset: ``CET (UTC+01:00)``."""
    name, offset = name_zone(local), format_offset(local.tm_gmtoff)
    return name if name == offset else f"{name} ({offset})"


def format_offset(offset_s: int) -> str:
    """Return an offset from UTC as ``UTC+02:00``."""
    if offset_s == 0:
        return "UTC"
    sign, minutes = "+-"[offset_s < 0], abs(offset_s) // 60
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def format_sentence(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def format_code(text: str) -> Markup:
    """Return a text whose parts in backticks are marked as code."""
    parts = [escape(part) for part in text.split("`")]
    marked = (f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
    return Markup("").join(Markup(part) for part in marked)  # noqa: S704 - escaped above


def format_frequency(hz: float) -> str:
    """Return a frequency in Hz or kHz."""
    return f"{hz / 1000:.2g} kHz" if hz >= 1000 else f"{hz:.0f} Hz"


def format_change(change_db: float) -> str:
    """Return a difference of levels in words."""
    return f"{abs(change_db):.0f} dB {'louder' if change_db >= 0 else 'quieter'}"


def format_bytes(count: float) -> str:
    """Return a size in decimal units."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


VERDICT_WORDS = {"normal": "it was normal", "fault": "it was a fault", "unsure": "not sure"}
NOTE_WORDS = VERDICT_WORDS | {
    "ack": "acknowledged",
    "comment": "comment",
    "shelve": "shelved",
    "unshelve": "no longer shelved",
    "maintenance": "in maintenance",
}


def format_verdict(verdict: str) -> str:
    """Return what a person found, in words."""
    return VERDICT_WORDS.get(verdict, verdict)


def format_note(kind: str) -> str:
    """Return the kind of a note in words."""
    return NOTE_WORDS.get(kind, kind)


FILTERS: dict[str, Callable[..., Any]] = {
    "state_word": format_state,
    "number": format_number,
    "loudness": format_loudness,
    "duration": format_duration_or_dash,
    "time": format_time,
    "sentence": format_sentence,
    "code": format_code,
    "frequency": format_frequency,
    "change": format_change,
    "bytes": format_bytes,
    "verdict_word": format_verdict,
    "note_word": format_note,
}
"""Filters of the templates."""
