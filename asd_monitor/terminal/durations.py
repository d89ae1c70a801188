"""Durations and times as users write and read them."""

import re
import time
from datetime import datetime

from asd_monitor.errors import ConfigError

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdwy])")
_EXPECTED = "expected a duration such as 90m, 24h, 7d or 1h30m"


def parse_duration(text: str) -> float:
    """Return a duration such as ``90m``, ``24h``, ``7d`` or ``1h30m`` in seconds.

    Raises
    ------
    ConfigError
        If it is not one, or not positive.
    """
    compact = text.replace(" ", "").lower()
    parts = _PART.findall(compact)
    if "".join(number + unit for number, unit in parts) != compact or not parts:
        msg = f"{_EXPECTED} (s, m, h, d, w, y), found {text!r}"
        raise ConfigError(msg)
    seconds = sum(float(number) * UNITS_S[unit] for number, unit in parts)
    if not 0 < seconds < 1e10:
        msg = f"{_EXPECTED}, found {text!r}"
        raise ConfigError(msg)
    return seconds


def parse_moment(text: str, now_s: float) -> float:
    """Return a time in seconds since the epoch.

    Parameters
    ----------
    text
        A duration before now, such as ``24h``; or a date or a time in ISO 8601, in the zone of
        this computer unless it names one.
    now_s
        The present time.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if re.match(r"\s*\d{4}-\d", text):
        try:
            return datetime.fromisoformat(text.strip()).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            msg = f"expected a date such as 2026-11-30 or 2026-11-30T14:00, found {text!r}"
            raise ConfigError(msg) from error
    try:
        return now_s - parse_duration(text)
    except ConfigError as error:
        msg = f"{_EXPECTED}, or a date such as 2026-11-30, found {text!r}"
        raise ConfigError(msg) from error


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units, such as ``2 min 5 s``."""
    total = round(max(0.0, seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    index = next((n for n, (_, length) in enumerate(units) if total >= length), len(units) - 1)
    unit, length = units[index]
    text, rest = f"{total // length} {unit}", total % length
    if index + 1 < len(units) and rest >= units[index + 1][1]:
        unit, length = units[index + 1]
        text += f" {rest // length} {unit}"
    return text


def format_rough_duration(seconds: float) -> str:
    """Return a duration in one unit: ``92 s``, ``14 min``, ``3.5 h``."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def format_local_time(at_s: float, *, seconds: bool = False) -> str:
    """Return a time in the zone of this computer, such as ``2026-11-30 14:05``."""
    pattern = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return time.strftime(pattern, time.localtime(at_s))
