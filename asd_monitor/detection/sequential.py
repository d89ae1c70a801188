"""The rule ``sequential``: evidence that a voice has risen, accumulated block by block.

A one-sided CUSUM (Page 1954) of every voice: the deviation of a block of ten seconds from normal
sound, less a slack, is added to the voice's evidence, which is never below 0. A fault that raises
a voice in every block adds up; odd blocks, of which there are always some, do not.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.calibration.normal_range import is_number
from asd_monitor.calibration.score_text import format_score
from asd_monitor.calibration.voices import SLACK, VoiceStatistics
from asd_monitor.detection.alarm_memory import Evidence
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.voice_words import describe_change
from asd_monitor.records import NORMAL_RANGE, Limit, WindowScore

WITHIN = "within normal range"
ABOVE = "above normal range"
WAS_ABOVE = "was above normal range"
"""There is still evidence, but less than before."""
REPORTED_FRACTION = 0.25
"""Evidence below this fraction of the limit is not mentioned."""
CLEAR_FRACTION = 0.7
"""Sound is quiet again while the evidence is below this fraction of the limit."""
MAX_WARNING_FRACTION = 0.7
"""A warning needs at most this fraction of the evidence for an alarm."""
WARNINGS_PER_ALARM = 30.0
"""Normal sound gives this many more false warnings than false alarms: one a day, not a month."""
MAX_RESTORED = 1e9
RESERVE = 1.0
"""The evidence stops growing this far above the limit, so that an alarm can clear."""


class SequentialTest:
    """Evidence of every voice.

    Attributes
    ----------
    fraction
        Largest evidence of any voice, as a fraction of that which raises the alarm.
    duration_s
        How long that voice has been raised: from its first evidence to its peak, in seconds.
    limit
        Upper end of the normal range of the score, for the user; None where it is unknown.
    """

    name = "sequential"

    def __init__(self) -> None:
        self._statistics: VoiceStatistics | None = None
        self.limit: Limit | None = None
        self._alarm_at = self._warning_at = math.inf
        self._window_samples = self._rate_hz = self._block_windows = 1
        self.reset()

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for the scores of a model; without statistics nothing is detected."""
        self._statistics = rule.voices
        self._window_samples, self._rate_hz = rule.window_samples, rule.sample_rate_hz
        self._block_windows = block_windows(rule.window_s)
        self._alarm_at = self._warning_at = math.inf
        if rule.voices is not None:
            limit = rule.voices.evidence_limit
            self._alarm_at = limit.at(rule.blocks_between_alarms)
            warning_at = limit.at(rule.blocks_between_alarms / WARNINGS_PER_ALARM)
            self._warning_at = min(warning_at, MAX_WARNING_FRACTION * self._alarm_at)
        if rule.normal_range is not None:
            self.limit = Limit(self.name, NORMAL_RANGE, rule.normal_range.level)
        self.reset()

    def reset(self) -> None:
        """Discard all evidence."""
        count = 1 if self._statistics is None else len(self._statistics.tested_names)
        self._evidence = np.zeros(count)
        self._peak = np.zeros(count)
        self._blocks = np.zeros(count, np.int64)  # since the evidence began
        self._raised_blocks = np.zeros(count, np.int64)  # of these, up to its peak
        self.fraction, self.duration_s, self._leading = 0.0, 0.0, 0
        self.skip_gap()

    def skip_gap(self) -> None:
        """Discard the block that has begun; audio is missing after it."""
        self._block: list[Sequence[float]] = []
        self._latest: deque[float] = deque(maxlen=self._block_windows)

    def update(self, score: WindowScore) -> None:
        """Take a window into account that follows the one before it."""
        if score.value is not None:
            self._latest.append(score.value)
        if self._statistics is None or score.value is None:
            return
        count = len(self._statistics.names)
        values = score.voices if count > 1 else (score.value,)
        if len(values) != count:
            return  # scores without their voices, such as those of an earlier replay
        self._block.append(values)
        if len(self._block) == self._block_windows:
            self._advance(np.mean(self._block, axis=0))
            self._block.clear()

    def _advance(self, means: npt.NDArray[np.float64]) -> None:
        assert self._statistics is not None  # noqa: S101 - checked by the caller
        deviations = self._statistics.standardise(means)
        evidence = np.maximum(self._evidence + deviations - SLACK, 0.0)
        self._evidence = np.minimum(evidence, self._alarm_at + RESERVE)
        self._blocks = np.where(evidence > 0.0, self._blocks + 1, 0)
        # Chance adds to the evidence in normal sound too, but rarely to more than it was before.
        self._peak = np.where(evidence > 0.0, np.maximum(self._peak, self._evidence), 0.0)
        is_raised = self._evidence >= self._peak
        self._raised_blocks = np.where(is_raised, self._blocks, self._raised_blocks)
        self._measure()

    def _measure(self) -> None:
        self._leading = int(np.argmax(self._evidence))
        self.fraction = float(self._evidence[self._leading]) / self._alarm_at
        self.duration_s = float(self._raised_blocks[self._leading]) * self._block_s

    @property
    def _is_rising(self) -> bool:
        """Whether there has never been more evidence than now."""
        return bool(self._raised_blocks[self._leading] == self._blocks[self._leading])

    @property
    def evidence(self) -> dict[str, Any]:
        """Evidence of every voice and its blocks, for :meth:`restore` after a restart."""
        return {
            "values": self._evidence.tolist(),
            "blocks": self._blocks.tolist(),
            "raised_blocks": self._raised_blocks.tolist(),
            "peaks": self._peak.tolist(),
        }

    def restore(self, evidence: Evidence) -> None:
        """Continue with the evidence from before a restart."""
        values, blocks = evidence.get("values"), evidence.get("blocks")
        raised_blocks, peaks = evidence.get("raised_blocks", blocks), evidence.get("peaks", values)
        for numbers in (values, blocks, raised_blocks, peaks):
            if not isinstance(numbers, list) or len(numbers) != len(self._evidence):
                return
            if not all(is_number(number) and 0 <= number < MAX_RESTORED for number in numbers):
                return
        self._evidence = np.minimum(np.asarray(values, np.float64), self._alarm_at + RESERVE)
        self._peak = np.minimum(np.asarray(peaks, np.float64), self._alarm_at + RESERVE)
        self._blocks = np.asarray(blocks, np.int64)
        self._raised_blocks = np.asarray(raised_blocks, np.int64)
        self._measure()

    @property
    def warns(self) -> bool:
        """Whether there is enough evidence for a warning."""
        return self.fraction * self._alarm_at > self._warning_at

    @property
    def alarms(self) -> bool:
        """Whether there is enough evidence for an alarm."""
        return self.fraction > 1.0

    @property
    def quiet(self) -> bool:
        """Whether so little evidence is left that an alarm may clear."""
        return self.fraction < CLEAR_FRACTION

    @property
    def is_notable(self) -> bool:
        """Whether the evidence is worth mentioning."""
        return self.fraction >= REPORTED_FRACTION

    @property
    def description(self) -> str:
        """Description of the evidence for the user."""
        voices = self._statistics
        if voices is None:
            return "no sequential test: too little normal sound was learned"
        what, limit = "the score", ""
        if len(voices.names) > 1:
            what = f"the sound ({describe_change(voices.tested_names[self._leading])})"
        elif self.limit is not None:
            limit = f" (up to {format_score(self.limit.value)})"
        verb = "has been" if self._is_rising else "was"
        share = "" if self.alarms else f", {self.fraction:.0%} of the evidence for an alarm"
        return f"{what} {verb} above its normal range{limit} for {self.duration_s:.0f} s{share}"

    @property
    def explanation(self) -> str:
        """What gives a warning and what raises an alarm, for the user."""
        return (
            "sound that stays above its normal range gives a warning, at "
            f"{self._warning_at / self._alarm_at:.0%} of the evidence for an alarm, and then an "
            "alarm: the further above, the sooner"
        )

    @property
    def recovery(self) -> str:
        """Why there is no warning any more, for the user."""
        if self.fraction == 0.0:
            return self.describe_range()
        left = f"{self.fraction:.0%} of the evidence for an alarm is left"
        return f"{self.describe_range()}; {left}"

    @property
    def _block_s(self) -> float:
        return self._block_windows * self._window_samples / self._rate_hz

    def read(self, score: WindowScore) -> RuleReading:
        """Return how the sound of the last minutes compares with normal sound."""
        if self.is_notable:
            word = ABOVE if self._is_rising or self._is_typically_above else WAS_ABOVE
            return RuleReading(self.name, self.limit, True, word, self.description)
        if self._is_typically_above:
            return self._exceeded(self.describe_range())
        sentence = self.describe_range(score.value)
        is_above = (
            self.limit is not None and score.value is not None and score.value > self.limit.value
        )
        return RuleReading(self.name, self.limit, False, ABOVE if is_above else WITHIN, sentence)

    @property
    def _is_typically_above(self) -> bool:
        """Whether the median score of the last block's length is above the normal range."""
        if self.limit is None or len(self._latest) < self._block_windows:
            return False
        return statistics.median(self._latest) > self.limit.value

    def describe_range(self, value: float | None = None) -> str:
        """Return how a score, by default the latest, compares with the normal range."""
        if self.limit is None:
            return "score within its normal range"
        end = format_score(self.limit.value)
        if self._is_typically_above:
            typical = format_score(statistics.median(self._latest))
            return (
                f"median score of the last {self._block_s:.0f} s {typical}, above its normal "
                f"range (up to {end}); an alarm if it lasts"
            )
        if value is None and self._latest:
            value = self._latest[-1]
        if value is not None and value > self.limit.value:
            return f"score above its normal range ({end}), but not yet for {self._block_s:.0f} s"
        return f"score within its normal range (up to {end})"

    def _exceeded(self, sentence: str) -> RuleReading:
        return RuleReading(self.name, self.limit, True, ABOVE, sentence)

    def read_clip(self, windows: Sequence[WindowScore]) -> RuleReading:
        """Return how a recording compares with normal sound.

        It exceeds the normal range where the median score of its windows does, or where it would
        give a warning.

        Parameters
        ----------
        windows
            Scored windows that do not overlap.
        """
        self.reset()
        warning = ""
        for window in windows:
            self.update(window)
            warning = self.description if self.warns else warning
        self.reset()
        if warning:
            return self._exceeded(warning)
        values = [window.value for window in windows if window.value is not None]
        typical = statistics.median(values) if values else -math.inf
        if self.limit is None or typical <= self.limit.value:
            return RuleReading(self.name, self.limit, False, WITHIN, self.describe_range())
        return self._exceeded(
            f"median score {format_score(typical)} above the normal range "
            f"({format_score(self.limit.value)}); an alarm if it lasts"
        )
