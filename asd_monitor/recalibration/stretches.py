"""Stretches of normal operation, cut from the scores of monitoring.

A stretch is at most ten minutes of consecutive blocks without an event, without doubtful sound and
without a gap. It is taken only when it has been followed by half an hour without an event, because
the evidence of a small fault takes minutes to accumulate.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.calibration.voices import SLACK
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, ScoredWindow, State

STRETCH_BLOCKS = 60
"""Largest number of blocks in a stretch: ten minutes."""
MIN_STRETCH_BLOCKS = 6
"""Shorter stretches are left out: their median says too little."""
WAIT_S = 1800.0
"""A stretch is taken when no event has followed it for this long."""
BEFORE_EVENT_S = 600.0
"""Sound before an event that is left out, and before the evidence for it began to accumulate; at
most ``WAIT_S`` in all."""
AFTER_EVENT_S = 600.0
"""Sound after an event that is left out."""
MAX_DEVIATION = SLACK
"""A stretch is left out if the median of a voice differs by more scales from commissioning."""

Values = npt.NDArray[np.float32]
_EVENT_STATES = frozenset({State.WARNING, State.ALARM})


class LeftOut(StrEnum):
    """Why sound does not extend the calibration."""

    EVENT = "event"
    """Within ten minutes before, during, or within ten minutes after a warning or an alarm."""
    DOUBT = "doubt"
    """Of doubtful quality, in another state than NORMAL, or next to lost sound."""
    SHELVED = "shelved"
    """The machine was shelved or in maintenance."""
    UNUSUAL = "unusual"
    """The median score was above the normal range of commissioning."""
    DRIFT = "drift"
    """The median of a voice has moved away from commissioning."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive blocks of normal operation.

    Attributes
    ----------
    start_s
        When the first block began, in seconds since the epoch.
    voices
        ``(blocks, voices)``: mean log score of each voice in each block.
    scores
        ``(blocks, windows)``: fused score of each window of each block.
    """

    start_s: float
    voices: Values
    scores: Values

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self.voices)


@dataclass(frozen=True, slots=True)
class _Block:
    start_s: float
    end: int
    """Index after its last sample."""
    voices: Sequence[float]
    scores: Sequence[float]


class StretchCollector:
    """Collect the stretches of one machine.

    Times within the sound are counted in samples, so that a clock that is set does no harm.

    Parameters
    ----------
    rule
        Decision rule of commissioning; it must have voices.

    Attributes
    ----------
    left_out_s
        Seconds that were left out, by reason.
    is_shelved
        Whether the machine is shelved or in maintenance at present; set by the caller.
    """

    def __init__(self, rule: DecisionRule) -> None:
        assert rule.voices is not None  # noqa: S101 - the caller's condition
        self._rule = rule
        self._voices = rule.voices
        self._block_windows = block_windows(rule.window_s)
        self._block_s = self._block_windows * rule.window_s
        self.left_out_s = dict.fromkeys(LeftOut, 0.0)
        self.is_shelved = False
        self._last_end: int | None = None
        self._event_end: int | None = None
        self._windows: list[tuple[Sequence[float], float]] = []
        self._block_start_s = 0.0
        self._blocks: list[_Block] = []
        self._waiting: deque[list[_Block]] = deque()

    @property
    def waiting_s(self) -> float:
        """Length of the sound that may still be left out because of an event."""
        return self._block_s * (len(self._blocks) + sum(map(len, self._waiting)))

    def add(self, window: ScoredWindow) -> list[Stretch]:
        """Take a window into account; return the stretches that are now known to be normal."""
        score = window.score
        if self._last_end is not None and score.window_start < self._last_end:
            return []  # it shares sound with the window before
        is_gap = self._last_end is None or score.lost_samples > 0
        is_gap |= score.window_start - (self._last_end or 0) > self._rule.window_samples
        self._last_end = score.window_start + self._rule.window_samples
        if is_gap:
            self._end_stretch()
        reason = self._find_reason(window)
        if reason is LeftOut.EVENT:
            self._end_stretch()
            self._drop_waiting(window.decision.shift_s)
        if reason is not None:
            self._end_stretch()
            self.left_out_s[reason] += self._rule.window_s
            return []
        self._append(window)
        return self._release()

    def _find_reason(self, window: ScoredWindow) -> LeftOut | None:
        """Return why a window is left out; None if it is not."""
        assert self._last_end is not None  # noqa: S101 - set by the caller
        state, rate_hz = window.decision.state, self._rule.sample_rate_hz
        if state in _EVENT_STATES:
            self._event_end = self._last_end
            return LeftOut.EVENT
        if self._event_end is not None:
            if self._last_end - self._event_end <= AFTER_EVENT_S * rate_hz:
                return LeftOut.EVENT
            self._event_end = None
        if self.is_shelved:
            return LeftOut.SHELVED
        score = window.score
        is_doubtful = score.quality is not Quality.OK or state is not State.NORMAL
        is_doubtful |= score.mode is not None and not score.mode.is_learned
        return LeftOut.DOUBT if is_doubtful or score.value is None else None

    def _append(self, window: ScoredWindow) -> None:
        score, names = window.score, self._voices.names
        assert score.value is not None  # noqa: S101 - checked by the caller
        voices = score.voices if len(names) > 1 else (score.value,)
        if len(voices) != len(names):
            return  # scores of another model
        if not self._windows:
            self._block_start_s = score.captured_at - self._rule.window_s
        self._windows.append((voices, score.value))
        if len(self._windows) < self._block_windows:
            return
        rows, scores = zip(*self._windows, strict=True)
        means = np.mean(np.asarray(rows, np.float64), axis=0).tolist()
        assert self._last_end is not None  # noqa: S101 - set by the caller
        self._blocks.append(_Block(self._block_start_s, self._last_end, means, scores))
        self._windows.clear()
        if len(self._blocks) == STRETCH_BLOCKS:
            self._end_stretch()

    def _end_stretch(self) -> None:
        self._windows.clear()
        if len(self._blocks) >= MIN_STRETCH_BLOCKS:
            self._waiting.append(self._blocks)
        else:
            self.left_out_s[LeftOut.DOUBT] += len(self._blocks) * self._block_s
        self._blocks = []

    def _drop_waiting(self, evidence_s: float) -> None:
        """Leave out the sound before an event that has begun."""
        assert self._last_end is not None  # noqa: S101 - set by the caller
        first = self._last_end - (BEFORE_EVENT_S + evidence_s) * self._rule.sample_rate_hz
        kept = deque[list[_Block]]()
        for blocks in self._waiting:
            before = [block for block in blocks if block.end <= first]
            self.left_out_s[LeftOut.EVENT] += (len(blocks) - len(before)) * self._block_s
            if before:
                kept.append(before)
        self._waiting = kept

    def _release(self) -> list[Stretch]:
        """Return the stretches that no event has followed for long enough."""
        assert self._last_end is not None  # noqa: S101 - set by the caller
        before = self._last_end - WAIT_S * self._rule.sample_rate_hz
        released = []
        while self._waiting and self._waiting[0][-1].end <= before:
            stretch = _make_stretch(self._waiting.popleft())
            reason = self._check(stretch)
            if reason is None:
                released.append(stretch)
            else:
                self.left_out_s[reason] += len(stretch) * self._block_s
        return released

    def _check(self, stretch: Stretch) -> LeftOut | None:
        """Return why a stretch is not like the sound of commissioning; None if it is."""
        if len(stretch) < MIN_STRETCH_BLOCKS:
            return LeftOut.EVENT
        normal_range = self._rule.normal_range
        highest = self._rule.clear_below if normal_range is None else normal_range.level
        if float(np.median(stretch.scores)) > highest:
            return LeftOut.UNUSUAL
        moved = np.median(stretch.voices, axis=0) - self._voices.centre
        if np.any(np.abs(moved) > MAX_DEVIATION * self._voices.scale):
            return LeftOut.DRIFT
        return None


def _make_stretch(blocks: Sequence[_Block]) -> Stretch:
    return Stretch(
        blocks[0].start_s,
        np.asarray([block.voices for block in blocks], np.float32),
        np.asarray([block.scores for block in blocks], np.float32),
    )
