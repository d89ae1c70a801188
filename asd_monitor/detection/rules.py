"""The rules of the alarm, in the order in which they are named as the reason for a state."""

from collections.abc import Sequence
from typing import Any, Protocol

from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.exceedances import ExceedanceBouts
from asd_monitor.detection.intermittent import NotableBlocks
from asd_monitor.detection.level import LevelChange
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.sequential import SequentialTest
from asd_monitor.records import Limit, WindowScore


class Rule(Protocol):
    """One way in which the scores of windows raise an alarm."""

    name: str
    limit: Limit | None

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for the scores of a model."""

    def reset(self) -> None:
        """Discard all windows."""

    def skip_gap(self) -> None:
        """Continue after audio that is missing."""

    def update(self, score: WindowScore) -> None:
        """Take a window into account that overlaps none before it."""

    @property
    def warns(self) -> bool:
        """Whether it gives a warning."""

    @property
    def alarms(self) -> bool:
        """Whether it raises the alarm."""

    @property
    def quiet(self) -> bool:
        """Whether an alarm may clear."""

    @property
    def description(self) -> str:
        """What it has found, for the user."""

    @property
    def recovery(self) -> str:
        """Why it gives no warning any more, with its limit, for the user."""

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""

    @property
    def evidence(self) -> dict[str, Any]:
        """What it remembers, for :meth:`restore` after a restart."""

    def restore(self, evidence: Evidence) -> None:
        """Continue with the evidence from before a restart."""

    def read(self, score: WindowScore) -> RuleReading:
        """Return how a window, and those before it, compare with its limit."""


class Rules:
    """All rules of one machine.

    Parameters
    ----------
    settings
        When an alarm is raised.

    Attributes
    ----------
    exceedances, sequential, intermittent, level
        The rules.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self.exceedances = ExceedanceBouts(settings.min_duration_s)
        self.sequential = SequentialTest()
        self.intermittent = NotableBlocks()
        self.level = LevelChange(settings.level)

    @property
    def all(self) -> Sequence[Rule]:
        """All rules: those of the sound, the fastest first, and that of the level."""
        return self.exceedances, self.sequential, self.intermittent, self.level

    def configure(self, decision: DecisionRule) -> None:
        """Prepare for the scores of a model."""
        for rule in self.all:
            rule.configure(decision)

    def reset(self) -> None:
        """Discard all windows."""
        for rule in self.all:
            rule.reset()

    def skip_gap(self) -> None:
        """Continue after audio that is missing."""
        for rule in self.all:
            rule.skip_gap()

    def update(self, score: WindowScore) -> None:
        """Take a window into account that overlaps none before it."""
        for rule in self.all:
            rule.update(score)

    def count_once(self, score: WindowScore) -> None:
        """Take a window with an impact into account where one bout counts once."""
        self.exceedances.update(score)
        self.intermittent.update(score)

    @property
    def alarming(self) -> Rule | None:
        """The first rule that raises the alarm."""
        return next((rule for rule in self.all if rule.alarms), None)

    @property
    def warning(self) -> Rule | None:
        """The first rule that gives a warning."""
        return next((rule for rule in self.all if rule.warns), None)

    @property
    def quiet(self) -> bool:
        """Whether an alarm may clear by every rule."""
        return all(rule.quiet for rule in self.all)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Limits of the score."""
        return tuple(rule.limit for rule in self.all if rule.limit is not None)

    def limit_of(self, name: str) -> float | None:
        """Return the limit of the score that a rule has; None if it has none."""
        return next((limit.value for limit in self.limits if limit.rule == name), None)

    def read(self, score: WindowScore) -> list[RuleReading]:
        """Return the readings of all rules for a window."""
        return [rule.read(score) for rule in self.all]

    def describe_recovery(self, name: str) -> str:
        """Return why the rule that gave a warning or an alarm does not any more, for the user."""
        rule = next((rule for rule in self.all if rule.name == name), None)
        return self.describe_normal() if rule is None else rule.recovery

    def describe_normal(self) -> str:
        """Return how close the sound is to a warning, for the user."""
        if self.sequential.is_notable:
            return self.sequential.description
        if self.exceedances.count:
            return self.exceedances.description
        if self.sequential.limit is not None:
            return self.sequential.describe_range()
        return self.exceedances.description
