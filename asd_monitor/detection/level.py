"""The rule ``level``: all frequencies have become louder or quieter by the same number of decibels.

This is what a change of gain, or a microphone that was moved, does to the sound. The other rules do
not react to it, because the model subtracts it from every window. A machine whose sound only gets
louder as a whole is found by this rule alone, so the change is reported as an event of its own.
"""

import math
from typing import Any

import numpy as np

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.calibration.normal_range import is_number
from asd_monitor.calibration.voices import SLACK, VoiceStatistics
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.alarm_settings import LevelAction
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.sequential import CLEAR_FRACTION, MAX_RESTORED, RESERVE
from asd_monitor.records import Limit, WindowScore

DIRECTIONS = 2
"""The statistics have one voice for louder and one for quieter sound."""


class LevelChange:
    """Accumulate the change of level, block by block, in each direction.

    Parameters
    ----------
    action
        What a change of level does.

    Attributes
    ----------
    limit
        Always None: the limit is one of a level and not of the score.
    """

    name = "level"
    limit: Limit | None = None

    def __init__(self, action: LevelAction) -> None:
        self._action = action
        self._statistics: VoiceStatistics | None = None
        self._limit = math.inf
        self._block_windows = 1
        self.reset()

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for the scores of a model; without statistics nothing is detected."""
        self._statistics, self._limit = None, math.inf
        self._block_windows = block_windows(rule.window_s)
        if rule.level_changes is not None and self._action != "off":
            self._statistics = rule.level_changes
            self._limit = rule.level_changes.evidence_limit.at(rule.blocks_between_alarms)
        self.reset()

    def reset(self) -> None:
        """Discard all windows."""
        self._evidence = np.zeros(DIRECTIONS)
        self._change_db = 0.0
        self.skip_gap()

    def skip_gap(self) -> None:
        """Discard the block that has begun; audio is missing after it."""
        self._block: list[float] = []

    def update(self, score: WindowScore) -> None:
        """Take a window into account that follows the one before it."""
        if self._statistics is None or score.level_change_db is None:
            return
        self._block.append(score.level_change_db)
        if len(self._block) < self._block_windows:
            return
        # The median: a knock or a word changes one window, a change of gain all of them.
        self._change_db = float(np.median(self._block))
        self._block.clear()
        changes_db = np.array([self._change_db, -self._change_db])
        gains = self._statistics.standardise(changes_db)[:DIRECTIONS] - SLACK
        self._evidence = np.clip(self._evidence + gains, 0.0, self._limit + RESERVE)

    @property
    def fraction(self) -> float:
        """Evidence, as a fraction of that which makes an event."""
        return float(self._evidence.max()) / self._limit

    @property
    def _is_found(self) -> bool:
        return self.fraction > 1.0

    @property
    def warns(self) -> bool:
        """Whether a change of level gives a warning."""
        return self._is_found

    @property
    def alarms(self) -> bool:
        """Whether a change of level raises the alarm."""
        return self._is_found and self._action == "alarm"

    @property
    def quiet(self) -> bool:
        """Whether an alarm may clear; a change of level does not hold an alarm of the sound."""
        return self._action != "alarm" or self.fraction < CLEAR_FRACTION

    @property
    def description(self) -> str:
        """Description of the change for the user."""
        if not self._is_found:
            return "level within its normal range"
        louder, quieter = self._evidence
        causes = "gain turned up, microphone moved closer, or machine louder"
        if quieter > louder:
            causes = "gain turned down, microphone moved away or covered, or machine quieter"
        side = "louder" if louder >= quieter else "quieter"
        return f"all frequencies are {side} by {abs(self._change_db):.0f} dB: {causes}"

    @property
    def recovery(self) -> str:
        """Why there is no warning any more, for the user."""
        return self.description

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm; empty where nothing does."""
        if self._statistics is None:
            return ""
        slack_db = SLACK * float(self._statistics.scale[0])
        result = "an alarm" if self._action == "alarm" else "a warning"
        return (
            f"a change of more than {slack_db:.1f} dB of all frequencies alike gives {result} "
            "when it lasts"
        )

    @property
    def evidence(self) -> dict[str, Any]:
        """Evidence of both directions, for :meth:`restore` after a restart."""
        return {"values": self._evidence.tolist(), "change_db": self._change_db}

    def restore(self, evidence: Evidence) -> None:
        """Continue with the evidence from before a restart."""
        values, change_db = evidence.get("values"), evidence.get("change_db")
        if not isinstance(values, list) or len(values) != DIRECTIONS or not is_number(change_db):
            return
        if all(is_number(value) and 0 <= value < MAX_RESTORED for value in values):
            self._evidence = np.minimum(np.asarray(values, np.float64), self._limit + RESERVE)
            self._change_db = float(change_db)

    def read(self, score: WindowScore) -> RuleReading:
        """Return how the level of the last minutes compares with normal sound."""
        return RuleReading(self.name, None, self._is_found, "level changed", self.description)
