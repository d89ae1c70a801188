"""Which alarms of a stream are false, and which faults are detected.

Definitions, with the time of an alarm being the end of the window that raised it:

- An *alarm* starts when the machine enters ALARM, and ends when it leaves it. While it is held, or
  continues after lost audio, it is one alarm.
- An alarm is *false* if it is raised in normal sound, except within :data:`AFTER_FAULT_S` after the
  end of a fault, when the windows that it looks back on still hold the fault. How long it lasts
  does not matter: an alarm that is raised in a fault and lasts longer is not false, and one that is
  raised in normal sound and lasts into a fault remains false.
- A fault is *detected* by an alarm that is raised while the fault lasts, or within
  :data:`AFTER_FAULT_S` after its end. The delay counts from the start of the fault.
- An alarm that is active when a fault begins, whether false or held since an earlier fault, does
  not detect the new fault: it reports nothing new to the user. The fault is *masked*. It counts as
  detected only if that alarm clears and another is raised, and otherwise as missed.
- Further alarms in a detected fault are *repeated*: neither false nor another detection.
- Alarms raised in a part that is labelled ``ignore`` are not evaluated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from asd_monitor.records import State
from asd_offline.timeline.labels import Span
from asd_offline.timeline.trace import StatePeriod, Trace

AFTER_FAULT_S = 30.0
"""An alarm that is raised this soon after the end of a fault is due to the fault."""
RAISED = (State.WARNING, State.ALARM)


class Outcome(StrEnum):
    """What an alarm turned out to be."""

    DETECTION = "detection"
    REPEATED = "repeated"
    FALSE = "false"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An alarm of a stream."""

    raised_s: float
    cleared_s: float | None
    """None if it was active at the end of the stream."""
    rule: str
    reason: str
    score: float | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """A fault, and whether it was detected."""

    span: Span
    delay_s: float | None = None
    """From its start to the alarm; None where it was missed."""
    rule: str = ""
    """Rule that raised the alarm."""
    is_masked: bool = False
    """Whether it was missed, and an earlier alarm was active when it began."""


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """Result of one stream. Its parts add up to its duration."""

    machine: str
    name: str
    duration_s: float
    normal_s: float
    """Normal sound in which the machine was NORMAL, WARNING or ALARM."""
    off_s: float
    """Normal sound in state OFF."""
    unknown_s: float
    """Normal sound in state UNKNOWN."""
    fault_s: float
    ignored_s: float
    false_alarm_s: float
    """Normal sound during false alarms."""
    false_warnings: int
    """Warnings, and alarms without one before, that began in normal sound."""
    alarms: tuple[RaisedAlarm, ...]
    faults: tuple[FaultOutcome, ...]

    @property
    def false_alarms(self) -> tuple[RaisedAlarm, ...]:
        """The false alarms, in order of time."""
        return tuple(alarm for alarm in self.alarms if alarm.outcome is Outcome.FALSE)


def evaluate_stream(machine: str, name: str, trace: Trace, spans: Sequence[Span]) -> StreamOutcome:
    """Compare the alarms of a stream with its labels.

    Parameters
    ----------
    machine, name
        Of the stream.
    trace
        What the live path made of it.
    spans
        Faults and ignored parts in order of time, which do not overlap.
    """
    detected: dict[int, tuple[float, str]] = {}
    alarms: list[RaisedAlarm] = []
    raised = list(_active_periods(trace.periods, (State.ALARM,)))
    for first, cleared_s in raised:
        outcome = _judge(first, spans, detected)
        end_s = None if cleared_s >= trace.duration_s else cleared_s
        alarms.append(
            RaisedAlarm(first.start_s, end_s, first.rule, first.reason, first.score, outcome)
        )
    false = [a for a in alarms if a.outcome is Outcome.FALSE]
    warned = [first for first, _ in _active_periods(trace.periods, RAISED)]
    return StreamOutcome(
        machine=machine,
        name=name,
        duration_s=trace.duration_s,
        normal_s=_normal_s(trace.periods, spans, (State.NORMAL, *RAISED)),
        off_s=_normal_s(trace.periods, spans, (State.OFF,)),
        unknown_s=_normal_s(trace.periods, spans, (State.UNKNOWN, State.LEARNING)),
        fault_s=sum(span.end_s - span.start_s for span in spans if span.is_fault),
        ignored_s=sum(span.end_s - span.start_s for span in spans if not span.is_fault),
        false_alarm_s=sum(
            _outside_s(a.raised_s, a.cleared_s or trace.duration_s, spans) for a in false
        ),
        false_warnings=sum(_judge(first, spans, {}) is Outcome.FALSE for first in warned),
        alarms=tuple(alarms),
        faults=tuple(
            _fault_outcome(span, detected.get(index), raised)
            for index, span in enumerate(spans)
            if span.is_fault
        ),
    )


def _active_periods(
    periods: Sequence[StatePeriod], states: Sequence[State]
) -> Iterator[tuple[StatePeriod, float]]:
    """Yield the first period and the end of each time in one of some states.

    A time in UNKNOWN between two of them, when audio was lost, belongs to it.
    """
    first: StatePeriod | None = None
    end_s = 0.0
    for period in periods:
        if period.state in states:
            first, end_s = first or period, period.end_s
        elif period.state is not State.UNKNOWN and first is not None:
            yield first, end_s
            first = None
    if first is not None:
        yield first, end_s


def _judge(
    alarm: StatePeriod, spans: Sequence[Span], detected: dict[int, tuple[float, str]]
) -> Outcome:
    """Return what an alarm is; enter the fault that it detects into ``detected``."""
    index = _find_span(alarm.start_s, spans)
    if index is None:
        return Outcome.FALSE
    span = spans[index]
    if not span.is_fault:
        return Outcome.IGNORED
    if index in detected:
        return Outcome.REPEATED
    detected[index] = (alarm.start_s - span.start_s, alarm.rule)
    return Outcome.DETECTION


def _find_span(at_s: float, spans: Sequence[Span]) -> int | None:
    """Return the index of the span at a time, or else of the fault that ended shortly before."""
    for index, span in enumerate(spans):
        if span.start_s <= at_s < span.end_s:
            return index
    for index in reversed(range(len(spans))):
        if spans[index].is_fault and 0 <= at_s - spans[index].end_s <= AFTER_FAULT_S:
            return index
    return None


def _fault_outcome(
    span: Span,
    detection: tuple[float, str] | None,
    raised: Sequence[tuple[StatePeriod, float]],
) -> FaultOutcome:
    if detection is not None:
        return FaultOutcome(span, *detection)
    masked = any(first.start_s < span.start_s < end_s for first, end_s in raised)
    return FaultOutcome(span, is_masked=masked)


def _normal_s(
    periods: Sequence[StatePeriod], spans: Sequence[Span], states: Sequence[State]
) -> float:
    return sum(
        _outside_s(period.start_s, period.end_s, spans)
        for period in periods
        if period.state in states
    )


def _outside_s(start_s: float, end_s: float, spans: Sequence[Span]) -> float:
    """Return how much of a period no span covers."""
    covered_s = sum(max(0.0, min(end_s, span.end_s) - max(start_s, span.start_s)) for span in spans)
    return max(0.0, end_s - start_s) - covered_s
