"""How values are stored in the database: times, states and qualities."""

import math

from asd_monitor.records import Quality, State

STATE_CODES = {
    State.NORMAL: 0, State.OFF: 10, State.LEARNING: 20, State.UNKNOWN: 30, State.WARNING: 40,
    State.ALARM: 50,
}  # fmt: skip
"""By severity: the most severe state of several has the highest code. Stored codes never change;
the steps leave room for further states."""
QUALITY_CODES = {
    Quality.OK: 0, Quality.CLIPPED: 1, Quality.DC: 2, Quality.SILENT: 3, Quality.STUCK: 4,
    Quality.NON_FINITE: 5, Quality.ERROR: 6, Quality.HUM: 7,
}  # fmt: skip
STATES = {code: state for state, code in STATE_CODES.items()}
QUALITIES = {code: quality for quality, code in QUALITY_CODES.items()}

MAX_MS = 2**53
"""Times are clamped to this, so that a clock far off never ends in an error."""


def to_ms(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    if not math.isfinite(seconds):
        return 0
    return max(-MAX_MS, min(MAX_MS, round(seconds * 1000)))


def to_s(milliseconds: int) -> float:
    """Return milliseconds as seconds."""
    return milliseconds / 1000


def finite(value: float | None) -> float | None:
    """Return a plain float, or None where there is no finite value."""
    return float(value) if value is not None and math.isfinite(value) else None
