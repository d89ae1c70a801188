"""Figures of one or several streams: rate of false alarms with its interval, and detections."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asd_offline.timeline.outcome import FaultOutcome, StreamOutcome

WEEK_H = 168.0
CONFIDENCE = 0.95
LIMITS_S = (60, 300)
"""Detections within these times are counted separately."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its two-sided 95 % confidence interval."""

    value: float | None
    """None without any time."""
    low: float | None
    high: float | None

    @classmethod
    def from_count(cls, count: int, exposure: float) -> "Rate":
        """Return the rate of a Poisson process with its exact interval (Garwood, 1936).

        Parameters
        ----------
        count
            Number of events.
        exposure
            Time in which they were counted, in the unit of the rate.
        """
        if exposure <= 0:
            return cls(None, None, None)
        from scipy.stats import chi2

        tail = (1 - CONFIDENCE) / 2
        low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
        high = float(chi2.ppf(1 - tail, 2 * count + 2)) / 2
        return cls(count / exposure, low / exposure, high / exposure)

    def to_dict(self) -> dict[str, float | None]:
        """Return values for ``json.dumps``."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Detections:
    """How many of some faults were detected, and how soon."""

    faults: int
    detected: int
    within: tuple[int, ...]
    """Detected within each of :data:`LIMITS_S`."""
    median_delay_s: float | None
    """Over the detected faults; None without any."""
    masked: int

    @classmethod
    def count(cls, faults: Sequence[FaultOutcome]) -> "Detections":
        """Count the detections of some faults."""
        delays_s = [fault.delay_s for fault in faults if fault.delay_s is not None]
        return cls(
            faults=len(faults),
            detected=len(delays_s),
            within=tuple(sum(delay_s <= limit for delay_s in delays_s) for limit in LIMITS_S),
            median_delay_s=statistics.median(delays_s) if delays_s else None,
            masked=sum(fault.is_masked for fault in faults),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return values for ``json.dumps``."""
        within = {
            f"detected_within_{limit}_s": count
            for limit, count in zip(LIMITS_S, self.within, strict=True)
        }
        return {
            "faults": self.faults,
            "detected": self.detected,
            **within,
            "median_delay_s": self.median_delay_s,
            "masked": self.masked,
        }


@dataclass(frozen=True)
class TimelineMetrics:
    """Figures of some streams."""

    streams: tuple[StreamOutcome, ...]

    @property
    def normal_h(self) -> float:
        """Hours of normal sound in which the machine was judged."""
        return sum(stream.normal_s for stream in self.streams) / 3600

    @property
    def false_alarms(self) -> int:
        """Number of false alarms."""
        return sum(len(stream.false_alarms) for stream in self.streams)

    @property
    def false_alarms_per_week(self) -> Rate:
        """False alarms in a week of normal sound."""
        return Rate.from_count(self.false_alarms, self.normal_h / WEEK_H)

    @property
    def faults(self) -> list[FaultOutcome]:
        """The faults of all streams."""
        return [fault for stream in self.streams for fault in stream.faults]

    @property
    def detections(self) -> Detections:
        """Detections of all faults."""
        return Detections.count(self.faults)

    def detections_by_label(self) -> dict[str, Detections]:
        """Return the detections of each label, in order of the labels."""
        labels = sorted({fault.span.label for fault in self.faults})
        return {
            label: Detections.count([fault for fault in self.faults if fault.span.label == label])
            for label in labels
        }

    def by_rule(self) -> dict[str, dict[str, int]]:
        """Return false alarms and detections by the rule that raised the alarm."""
        false = Counter(a.rule for stream in self.streams for a in stream.false_alarms)
        detected = Counter(f.rule for f in self.faults if f.delay_s is not None)
        return {
            rule: {"false_alarms": false[rule], "detected": detected[rule]}
            for rule in sorted({*false, *detected})
        }

    def to_dict(self) -> dict[str, Any]:
        """Return values for ``json.dumps``."""

        def hours(name: str) -> float:
            return float(sum(getattr(stream, name) for stream in self.streams)) / 3600

        return {
            "streams": len(self.streams),
            "normal_h": self.normal_h,
            "off_h": hours("off_s"),
            "unknown_h": hours("unknown_s"),
            "fault_h": hours("fault_s"),
            "ignored_h": hours("ignored_s"),
            "false_alarms": self.false_alarms,
            "false_alarms_per_week": self.false_alarms_per_week.to_dict(),
            "false_alarm_h": hours("false_alarm_s"),
            "false_warnings": sum(stream.false_warnings for stream in self.streams),
            **self.detections.to_dict(),
            "by_rule": self.by_rule(),
            "by_label": {
                label: found.to_dict() for label, found in self.detections_by_label().items()
            },
        }
