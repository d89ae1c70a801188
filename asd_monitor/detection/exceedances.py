"""The rule ``window``: count the latest windows whose score is above the threshold."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from asd_monitor.calibration.score_text import format_score
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.records import Limit


class WindowExceedances:
    """Count exceedances of the threshold among the last windows that do not overlap.

    Parameters
    ----------
    settings
        How many exceedances of how many windows give a warning and raise an alarm.

    Attributes
    ----------
    limit
        The threshold; None before there is one.
    """

    name = "window"

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._exceedances: deque[bool] = deque(maxlen=settings.window_count)
        self.limit: Limit | None = None

    def configure(self, threshold: float | None) -> None:
        """Prepare for the scores of a model."""
        self.limit = None if threshold is None else Limit(self.name, "threshold", threshold)
        self.reset()

    def reset(self) -> None:
        """Discard all windows."""
        self._exceedances.clear()

    def update(self, exceeds: bool) -> None:
        """Take a window into account that overlaps none before it."""
        self._exceedances.append(exceeds)

    @property
    def evidence(self) -> dict[str, Any]:
        """The exceedances, for :meth:`restore` after a restart; oldest first."""
        return {"exceedances": list(self._exceedances)}

    def restore(self, evidence: Evidence) -> None:
        """Continue with the exceedances from before a restart."""
        exceedances = evidence.get("exceedances")
        if isinstance(exceedances, list):
            self._exceedances.extend(bool(exceeds) for exceeds in exceedances)

    @property
    def count(self) -> int:
        """Number of exceedances among the last windows."""
        return sum(self._exceedances)

    @property
    def latest(self) -> bool:
        """Whether the latest window exceeds the threshold."""
        return bool(self._exceedances) and self._exceedances[-1]

    @property
    def warns(self) -> bool:
        """Whether there are enough exceedances for a warning."""
        return self.count >= self._settings.warning_exceedances

    @property
    def alarms(self) -> bool:
        """Whether there are enough exceedances for an alarm."""
        return self.count >= self._settings.min_exceedances

    @property
    def description(self) -> str:
        """Description of the exceedances for the user, with the limit."""
        count, windows = self.count, len(self._exceedances)
        threshold = f"the threshold{self._limit_text}"
        if windows == 1:
            return f"the latest window is {'above' if count else 'below'} {threshold}"
        verb = "is" if count == 1 else "are"
        return f"{count} of the last {windows} windows {verb} above {threshold}"

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""
        settings = self._settings
        return (
            f"{settings.warning_exceedances} of {settings.window_count} consecutive windows above "
            f"the threshold{self._limit_text} give a warning, {settings.min_exceedances} an alarm"
        )

    def read(self, value: float) -> RuleReading:
        """Return how the score of the newest window compares with the threshold."""
        exceeded = self.limit is not None and value > self.limit.value
        side = "above" if exceeded else "below"
        return RuleReading(
            limit=self.limit,
            exceeded=exceeded,
            word=f"{side} threshold",
            sentence=f"score {side} the threshold{self._limit_text}",
        )

    def read_clip(self, value: float, scores: Sequence[tuple[int, float]]) -> RuleReading:
        """Return how a recording compares with the threshold: its own score, and its windows.

        Parameters
        ----------
        value
            Score of the recording.
        scores
            Start and score of its windows that do not overlap.
        """
        reading = self.read(value)
        if reading.exceeded or self.limit is None:
            return reading
        self.reset()
        highest = (0, 0)
        for _, score in scores:
            self.update(score > self.limit.value)
            highest = max(highest, (self.count, len(self._exceedances)))
        count, windows = highest
        if count < self._settings.warning_exceedances:
            return reading
        sentence = f"{count} of {windows} consecutive windows are above the threshold"
        return RuleReading(self.limit, True, "above threshold", f"{sentence}{self._limit_text}")

    @property
    def _limit_text(self) -> str:
        return "" if self.limit is None else f" ({format_score(self.limit.value)})"
