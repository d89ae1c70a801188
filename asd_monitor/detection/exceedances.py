"""The rule ``window``: the score exceeds the threshold again and again.

Exceedances within ten seconds are one bout: a passing vehicle affects several windows, and counts
once.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from asd_monitor.calibration.alarm_rate import BOUTS_FOR_ALARM
from asd_monitor.calibration.normal_range import is_number
from asd_monitor.calibration.score_text import format_score
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.records import Limit, WindowScore

BOUTS_FOR_WARNING = 2
LOOK_BACK = 3.0
"""Bouts count for this multiple of the shortest duration of an alarm."""
MIN_WINDOWS = BOUTS_FOR_ALARM - 1
"""Length of a window, of which the shortest duration is at least this multiple: three windows that
do not overlap cannot begin within less."""


class ExceedanceBouts:
    """Count bouts of exceedances of the threshold during the last minute.

    Parameters
    ----------
    min_duration_s
        Shortest time from the first exceedance to the third bout; at least two windows.

    Attributes
    ----------
    limit
        The threshold; None before there is one.
    count
        Number of bouts.
    latest
        Whether the latest window exceeds the threshold.
    """

    name = "window"

    def __init__(self, min_duration_s: float) -> None:
        self._min_duration_s = min_duration_s
        self._set_duration(min_duration_s)
        self._bouts: deque[int] = deque()
        self._threshold: float | None = None
        self._clear_below = float("inf")
        self._rate_hz = self._window_samples = 1
        self.limit: Limit | None = None
        self.reset()

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for the scores of a model."""
        self._threshold, self._clear_below = rule.threshold, rule.clear_below
        self._rate_hz, self._window_samples = rule.sample_rate_hz, rule.window_samples
        window_s = self._window_samples / self._rate_hz
        self._set_duration(max(self._min_duration_s, MIN_WINDOWS * window_s))
        if rule.threshold is not None:
            self.limit = Limit(self.name, "threshold", rule.threshold)
        self.reset()

    def _set_duration(self, min_duration_s: float) -> None:
        self._bout_s = min_duration_s / (BOUTS_FOR_ALARM - 1)
        self._look_back_s = LOOK_BACK * min_duration_s

    def reset(self) -> None:
        """Discard all windows."""
        self._bouts.clear()
        self.latest, self._value, self._end = False, 0.0, 0

    def skip_gap(self) -> None:
        """Discard all windows: those before lost audio are no evidence together with later ones."""
        self.reset()

    def update(self, score: WindowScore) -> None:
        """Take a window into account that overlaps none before it."""
        if score.value is None:
            return
        self._value, self._end = score.value, score.window_start + self._window_samples
        self.latest = self._threshold is not None and score.value > self._threshold
        oldest = score.window_start - self._look_back_s * self._rate_hz
        while self._bouts and self._bouts[0] < oldest:
            self._bouts.popleft()
        next_bout = score.window_start - self._bout_s * self._rate_hz
        is_new = not self._bouts or self._bouts[-1] <= next_bout
        if self.latest and is_new:
            self._bouts.append(score.window_start)

    @property
    def count(self) -> int:
        """Number of bouts during the last minute."""
        return len(self._bouts)

    @property
    def warns(self) -> bool:
        """Whether the latest window is one of enough bouts for a warning."""
        return self.latest and self.count >= BOUTS_FOR_WARNING

    @property
    def alarms(self) -> bool:
        """Whether the latest window is one of enough bouts for an alarm."""
        return self.latest and self.count >= BOUTS_FOR_ALARM

    @property
    def quiet(self) -> bool:
        """Whether the latest window is low enough for an alarm to clear."""
        return self._value <= self._clear_below

    @property
    def description(self) -> str:
        """Description of the exceedances for the user, with the limit."""
        threshold = f"the threshold{self._limit_text}"
        if not self.count:
            return f"the latest window is below {threshold}"
        periods = "periods" if self.count > 1 else "period"
        return (
            f"the score was above {threshold} in {self.count} {periods} of {self._bout_s:.0f} s "
            f"in the last {self._look_back_s:.0f} s"
        )

    @property
    def recovery(self) -> str:
        """Why there is no warning any more, for the user."""
        return self._read(self._value).sentence

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""
        return (
            f"a score above the threshold{self._limit_text} in {BOUTS_FOR_WARNING} periods of "
            f"{self._bout_s:.0f} s within {self._look_back_s:.0f} s gives a warning, in "
            f"{BOUTS_FOR_ALARM} an alarm"
        )

    @property
    def evidence(self) -> dict[str, Any]:
        """How long ago each bout began, for :meth:`restore` after a restart; oldest first."""
        return {"bouts_s": [(self._end - bout) / self._rate_hz for bout in self._bouts]}

    def restore(self, evidence: Evidence) -> None:
        """Continue with the bouts from before a restart."""
        bouts_s = evidence.get("bouts_s")
        if isinstance(bouts_s, list) and all(map(is_number, bouts_s)):
            known = sorted(age_s for age_s in bouts_s if 0 <= age_s <= self._look_back_s)[::-1]
            self._bouts.extend(-round(age_s * self._rate_hz) for age_s in known)

    def read(self, score: WindowScore) -> RuleReading:
        """Return how the score of a window compares with the threshold."""
        return self._read(-math.inf if score.value is None else score.value)

    def read_clip(self, value: float, windows: Sequence[WindowScore]) -> RuleReading:
        """Return how a recording compares with the threshold: its own score, and its windows.

        Parameters
        ----------
        value
            Score of the recording.
        windows
            Scored windows that do not overlap.
        """
        reading = self._read(value)
        if reading.exceeded or self._threshold is None:
            return reading
        self.reset()
        highest, description = 0, ""
        for window in windows:
            self.update(window)
            if self.count > highest:
                highest, description = self.count, self.description
        if highest < BOUTS_FOR_WARNING:
            return reading
        return RuleReading(self.name, self.limit, True, "above threshold", description)

    def _read(self, value: float) -> RuleReading:
        exceeded = self._threshold is not None and value > self._threshold
        side = "above" if exceeded else "below"
        return RuleReading(
            rule=self.name,
            limit=self.limit,
            exceeded=exceeded,
            word=f"{side} threshold",
            sentence=f"score {side} the threshold{self._limit_text}",
        )

    @property
    def _limit_text(self) -> str:
        return "" if self.limit is None else f" ({format_score(self.limit.value)})"
