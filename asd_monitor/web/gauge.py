"""Where a score lies between normal sound and its threshold, as positions of a drawing."""

from dataclasses import dataclass

MARGIN = 1.3
"""The scale ends at this multiple of the threshold."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """Positions from 0 to 100; None where a value is not known."""

    score: float | None
    normal_range: float | None
    threshold: float | None


def make_gauge(
    score: float | None, normal_range: float | None, threshold: float | None
) -> Gauge | None:
    """Return the positions of a score and its limits; None without a limit."""
    limits = [limit for limit in (normal_range, threshold) if limit is not None]
    if not limits:
        return None
    low = min(0.0, *limits, score if score is not None else 0.0)
    high = low + MARGIN * (max(limits) - low)
    if high <= low:
        return None

    def position(value: float | None) -> float | None:
        if value is None:
            return None
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    return Gauge(position(score), position(normal_range), position(threshold))
