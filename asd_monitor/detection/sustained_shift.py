"""The rule ``sustained_shift``: the score stays above its normal range."""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

from asd_monitor.calibration.normal_range import NormalRange, count_segment_windows
from asd_monitor.calibration.score_text import format_score
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.records import Limit

WARNING_P = 1e-4
ALARM_P = 1e-5
"""Normal sound stays above its normal range that long with this probability at most."""
WARNING_FRACTION = 0.5
"""A warning needs this fraction of the configured duration."""


class SustainedShift:
    """Measure how long the level, the median score of the newest ten seconds, has been raised.

    The median ignores a few odd windows; a persistent fault moves it.

    Parameters
    ----------
    min_duration_s
        A shorter shift never raises an alarm, and one of half of it never gives a warning,
        however much normal sound is known; 0 disables the detection.

    Attributes
    ----------
    duration_s
        How long the level has been above the normal range, in seconds.
    warning_s, alarm_s
        Durations from which a shift gives a warning and an alarm.
    limit
        The upper end of the normal range; None where it is unknown or the detection is off.
    """

    name = "sustained_shift"

    def __init__(self, min_duration_s: float) -> None:
        self._min_duration_s = min_duration_s
        self.configure(None, 1, 1)

    def configure(
        self, normal_range: NormalRange | None, window_samples: int, sample_rate_hz: int
    ) -> None:
        """Prepare for the scores of a model; without a normal range nothing is detected."""
        self._level = self.warning_s = self.alarm_s = math.inf
        self.limit: Limit | None = None
        self._window_samples = window_samples
        self._sample_rate_hz = sample_rate_hz
        window_s = window_samples / sample_rate_hz
        self._windows: deque[tuple[int, float]] = deque(maxlen=count_segment_windows(window_s))
        if normal_range is not None and self._min_duration_s > 0:
            self._level = normal_range.level
            self.limit = Limit(self.name, "normal range", normal_range.level)
            significant_s = normal_range.min_duration_s(WARNING_P, window_s)
            self.warning_s = max(WARNING_FRACTION * self._min_duration_s, significant_s)
            significant_s = normal_range.min_duration_s(ALARM_P, window_s)
            self.alarm_s = max(self._min_duration_s, significant_s)
        self.reset()

    def reset(self) -> None:
        """Discard all windows; those before lost audio say nothing about those after it."""
        self._windows.clear()
        self._since: int | None = None
        self.duration_s = self._earlier_s = 0.0

    def update(self, value: float, window_start: int) -> None:
        """Take the score of a window into account that overlaps none before it."""
        self._windows.append((window_start, value))
        if statistics.median(score for _, score in self._windows) <= self._level:
            self._since, self.duration_s, self._earlier_s = None, 0.0, 0.0
            return
        if self._since is None:
            self._since = self._windows[0][0]
        end = window_start + self._window_samples
        self.duration_s = self._earlier_s + (end - self._since) / self._sample_rate_hz

    @property
    def evidence(self) -> dict[str, Any]:
        """The duration so far, for :meth:`restore` after a restart."""
        return {"duration_s": self.duration_s}

    def restore(self, evidence: Evidence) -> None:
        """Continue a shift from before a restart if the first window is still above the range."""
        duration_s = evidence.get("duration_s")
        if isinstance(duration_s, int | float) and math.isfinite(duration_s):
            self._earlier_s = max(0.0, float(duration_s))

    @property
    def warns(self) -> bool:
        """Whether it has lasted long enough for a warning."""
        return self.duration_s >= self.warning_s

    @property
    def alarms(self) -> bool:
        """Whether it has lasted long enough for an alarm."""
        return self.duration_s >= self.alarm_s

    @property
    def description(self) -> str:
        """Description of the shift for the user, with the limit and the next duration."""
        duration = f"{self.duration_s:.0f}"
        if not self.warns:
            duration += f" of {self.warning_s:.0f} s"
        elif not self.alarms:
            duration += f" s (alarm at {self.alarm_s:.0f} s)"
        else:
            duration += " s"
        return f"score above its normal range ({format_score(self._level)}) for {duration}"

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""
        return (
            f"a score above its normal range ({format_score(self._level)}) for "
            f"{self.warning_s:.0f} s gives a warning, for {self.alarm_s:.0f} s an alarm"
        )

    def read(self) -> RuleReading:
        """Return how the level compares with the normal range."""
        if self.duration_s > 0:
            return RuleReading(self.limit, True, "above normal range", self.description)
        sentence = f"score within its normal range (up to {format_score(self._level)})"
        return RuleReading(self.limit, False, "within normal range", sentence)

    def read_clip(self, scores: Sequence[tuple[int, float]]) -> RuleReading:
        """Return how the typical score of a recording compares with the normal range.

        It exceeds the range where the median of its windows does, or where a part of it does for
        long enough to give a warning.

        Parameters
        ----------
        scores
            Start and score of its windows that do not overlap.
        """
        self.reset()
        lasting = ""
        for start, score in scores:
            self.update(score, start)
            lasting = self.description if self.warns else lasting
        typical = statistics.median(score for _, score in scores) if scores else -math.inf
        if not lasting and typical <= self._level:
            self.reset()
            return self.read()
        sentence = (
            f"median score {format_score(typical)} above the normal range "
            f"({format_score(self._level)}); a warning if it lasts {self.warning_s:.0f} s"
        )
        return RuleReading(self.limit, True, "above normal range", lasting or sentence)
