"""The rule ``intermittent``: notable windows keep returning, with normal sound between them.

A click every twenty seconds makes single windows notable and never several in a row. The blocks of
ten seconds that contain a notable window are counted over the last ten minutes.
"""

import math
from collections import deque
from typing import Any

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.calibration.voices import COUNTED_BLOCKS
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.sequential import WARNINGS_PER_ALARM
from asd_monitor.records import Limit, WindowScore

CLEAR_BELOW = 2
"""Sound is quiet again once the count is this far below the limit."""


class NotableBlocks:
    """Count blocks with a notable window.

    Attributes
    ----------
    count
        Blocks with a notable window, of the last ten minutes of sound.
    limit
        Always None: the limit is a count and not a score.
    """

    name = "intermittent"
    limit: Limit | None = None

    def __init__(self) -> None:
        self._blocks: deque[bool] = deque(maxlen=COUNTED_BLOCKS)
        self._notable_score = self._alarm_at = self._warning_at = math.inf
        self.reset()

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for the scores of a model; without statistics nothing is detected."""
        self._notable_score = self._alarm_at = self._warning_at = math.inf
        self._block_windows = block_windows(rule.window_s)
        if rule.voices is not None:
            limit, blocks = rule.voices.notable_limit, rule.blocks_between_alarms
            self._notable_score = rule.voices.notable_score
            self._alarm_at = limit.at(blocks)
            self._warning_at = min(limit.at(blocks / WARNINGS_PER_ALARM), self._alarm_at - 1)
        self.reset()

    def reset(self) -> None:
        """Discard all windows."""
        self._blocks.clear()
        self.count = 0
        self.skip_gap()

    def skip_gap(self) -> None:
        """Discard the block that has begun; audio is missing after it."""
        self._windows = 0
        self._notable = False

    def update(self, score: WindowScore) -> None:
        """Take a window into account that follows the one before it."""
        if score.value is None:
            return
        self._windows += 1
        self._notable |= score.value > self._notable_score
        if self._windows == self._block_windows:
            self._blocks.append(self._notable)
            self.count = sum(self._blocks)
            self.skip_gap()

    @property
    def warns(self) -> bool:
        """Whether the count gives a warning."""
        return self.count > self._warning_at

    @property
    def alarms(self) -> bool:
        """Whether the count raises an alarm."""
        return self.count > self._alarm_at

    @property
    def quiet(self) -> bool:
        """Whether the count is low enough for an alarm to clear."""
        return self.count <= self._alarm_at - CLEAR_BELOW

    @property
    def description(self) -> str:
        """Description of the count for the user."""
        found = f"unusual sound in {self.count} of the last {len(self._blocks)} parts of 10 s"
        if math.isinf(self._alarm_at):
            return found
        return f"{found}; normal are up to {math.floor(self._alarm_at)} of {COUNTED_BLOCKS}"

    @property
    def recovery(self) -> str:
        """Why there is no warning any more, for the user."""
        return self.description

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""
        return (
            f"unusual sound in more than {math.floor(self._warning_at)} of the "
            f"{COUNTED_BLOCKS} blocks of the last ten minutes gives a warning, in more than "
            f"{math.floor(self._alarm_at)} an alarm"
        )

    @property
    def evidence(self) -> dict[str, Any]:
        """The blocks, for :meth:`restore` after a restart; oldest first."""
        return {"notable": list(self._blocks)}

    def restore(self, evidence: Evidence) -> None:
        """Continue with the blocks from before a restart."""
        blocks = evidence.get("notable")
        if isinstance(blocks, list):
            self._blocks.extend(bool(notable) for notable in blocks)
            self.count = sum(self._blocks)

    def read(self, score: WindowScore) -> RuleReading:
        """Return whether notable windows return more often than in normal sound."""
        return RuleReading(self.name, None, self.warns, "unusual sound returns", self.description)
