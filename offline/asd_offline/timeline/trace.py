"""What the live path makes of a stream: states over time and the course of the score."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Self

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Decision, State, WindowScore

MAX_BINS = 2048
"""The score of a stream is kept in half as many bins up to as many bins, however long it is."""


@dataclass(frozen=True, slots=True)
class StatePeriod:
    """A period in which the machine was in one state, held by one rule."""

    start_s: float
    """End of the window that led to the state, in seconds from the start of the stream."""
    end_s: float
    state: State
    rule: str
    reason: str
    """At the start of the period."""
    score: float | None
    """Of the window that led to the state."""


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Lowest and highest score of some consecutive windows."""

    start_s: float
    """End of the first window."""
    end_s: float
    """End of the last window."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScoreLimit:
    """A limit with which a rule of the alarm compares the score."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Trace:
    """States and scores of a stream."""

    duration_s: float
    periods: tuple[StatePeriod, ...]
    """Without gaps, from 0 to ``duration_s``."""
    bins: tuple[ScoreBin, ...] = ()
    limits: tuple[ScoreLimit, ...] = ()

    def to_json(self) -> str:
        """Return one JSON document."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore a trace from :meth:`to_json`."""
        values = json.loads(text)
        return cls(
            duration_s=values["duration_s"],
            periods=tuple(
                StatePeriod(**period | {"state": State(period["state"])})
                for period in values["periods"]
            ),
            bins=tuple(ScoreBin(**entry) for entry in values["bins"]),
            limits=tuple(ScoreLimit(**entry) for entry in values["limits"]),
        )


def trace_scores(
    scores: Iterable[WindowScore],
    rule: DecisionRule,
    settings: AlarmSettings,
    duration_s: float,
    tick: Callable[[float], None] | None = None,
) -> Trace:
    """Pass the scores of a stream through the alarm of the live monitor; return what it does.

    Parameters
    ----------
    scores
        In order of time; their capture times are seconds from the start of the stream.
    rule, settings
        Decision rule of the model file and settings of the alarm.
    duration_s
        Length of the stream.
    tick
        Called with the seconds of sound processed since the last call.
    """
    alarm = Alarm("timeline", settings, "timeline")
    alarm.configure(rule, at=0.0)
    decided = ((score, alarm.update(score)[0]) for score in scores)
    return trace_decisions(decided, duration_s, tick)


def trace_decisions(
    decided: Iterable[tuple[WindowScore, Decision]],
    duration_s: float,
    tick: Callable[[float], None] | None = None,
) -> Trace:
    """Return the trace of windows with their decisions; parameters as of :func:`trace_scores`."""
    recorder = _Recorder()
    done_s = 0.0
    for score, decision in decided:
        recorder.add(score, decision)
        if tick is not None:
            tick(score.captured_at - done_s)
        done_s = score.captured_at
    return recorder.finish(duration_s)


class _Recorder:
    """Collect periods and bins of a stream."""

    def __init__(self) -> None:
        self._periods: list[StatePeriod] = []
        self._start_s, self._state, self._rule = 0.0, State.UNKNOWN, ""
        self._reason, self._score = "no window scored yet", None
        self._bins: list[ScoreBin] = []
        self._windows_per_bin = 1
        self._in_last_bin = 0
        self._limits: tuple[ScoreLimit, ...] = ()

    _score: float | None

    def add(self, score: WindowScore, decision: Decision) -> None:
        """Add the decision on a window."""
        if (decision.state, decision.rule) != (self._state, self._rule):
            self._end_period(score.captured_at)
            self._state, self._rule = decision.state, decision.rule
            self._reason, self._score = decision.reason, score.value
        if decision.limits and not self._limits:
            self._limits = tuple(ScoreLimit(limit.name, limit.value) for limit in decision.limits)
        if score.value is not None:
            self._add_score(score.captured_at, score.value)

    def finish(self, duration_s: float) -> Trace:
        """Return the trace."""
        self._end_period(duration_s)
        return Trace(duration_s, tuple(self._periods), tuple(self._bins), self._limits)

    def _end_period(self, at_s: float) -> None:
        if at_s > self._start_s:
            self._periods.append(
                StatePeriod(self._start_s, at_s, self._state, self._rule, self._reason, self._score)
            )
        self._start_s = at_s

    def _add_score(self, at_s: float, value: float) -> None:
        if self._bins and self._in_last_bin < self._windows_per_bin:
            self._bins[-1] = _join(self._bins[-1], ScoreBin(at_s, at_s, value, value))
            self._in_last_bin += 1
            return
        if len(self._bins) == MAX_BINS:
            pairs = zip(self._bins[::2], self._bins[1::2], strict=True)
            self._bins = [_join(first, second) for first, second in pairs]
            self._windows_per_bin *= 2
        self._bins.append(ScoreBin(at_s, at_s, value, value))
        self._in_last_bin = 1


def _join(first: ScoreBin, second: ScoreBin) -> ScoreBin:
    return ScoreBin(
        first.start_s, second.end_s, min(first.low, second.low), max(first.high, second.high)
    )
