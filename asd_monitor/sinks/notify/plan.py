"""Decide when people are notified, and of what; without threads, clocks or network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from asd_monitor.records import (
    AlarmStatus,
    EvidenceReady,
    MachineAlarm,
    MachineRemoved,
    Record,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.sinks.notify.settings import Kind, NotifySettings

_KINDS = {State.ALARM: Kind.ALARM, State.WARNING: Kind.WARNING}
_LOST = frozenset({SourceState.MISSING, SourceState.FROZEN, SourceState.SILENT})


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification that is to be sent."""

    kind: Kind
    machine: str
    at_s: float
    """When what it is about began, in seconds since the epoch."""
    reason: str
    event_id: str = ""
    headline: str = ""
    """What changed in the sound; empty if that is not known."""
    picture: str = ""
    """Path of the spectrogram; empty for none."""
    repeats: int = 0
    """How many times it was notified before."""
    ended_s: float | None = None
    """When the event ended, if it already has."""
    others: int = 0
    """Events since the last notification that were not notified separately."""
    provisional: bool = False


@dataclass(slots=True)
class _Machine:
    """What has to be known of a machine."""

    event_id: str = ""
    """The open event."""
    notified: Notice | None = None
    """What was notified of it last."""
    waiting: Notice | None = None
    due_s: float = 0.0
    repeat_s: float = 0.0
    cooled_s: float = float("-inf")
    """End of the cool-down after the last event."""
    others: int = 0
    is_answered: bool = False
    is_silent: bool = False
    ready: list[Notice] = field(default_factory=list)
    lost: Notice | None = None
    lost_due_s: float = 0.0
    lost_notified: bool = False


class Plan:
    """What has been notified, and what is due.

    Parameters
    ----------
    settings
        What is notified, and when.
    count_suppressed
        Called for each notification that is not sent, because of a cool-down or a shelf.
    """

    def __init__(
        self,
        settings: NotifySettings,
        count_suppressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._count_suppressed = count_suppressed
        self._machines: dict[str, _Machine] = {}

    def add(self, record: Record, now: float) -> None:
        """Take a record into account; ``now`` in seconds since the epoch."""
        machine = self._machines.setdefault(record.machine, _Machine())
        match record:
            case Transition():
                self._add_transition(machine, record, now)
            case EvidenceReady():
                self._add_evidence(machine, record, now)
            case MachineAlarm():
                machine.is_silent = record.is_silent
                is_open = record.event_id == machine.event_id
                machine.is_answered = is_open and record.status is AlarmStatus.ACKNOWLEDGED
            case SourceHealth():
                self._add_health(machine, record, now)
            case MachineRemoved():
                machine.lost = None

    def due(self, now: float) -> list[Notice]:
        """Return the notifications to be sent now."""
        return [notice for name in self._machines for notice in self._due(name, now)]

    def _add_transition(self, machine: _Machine, transition: Transition, now: float) -> None:
        kind = _KINDS.get(transition.state)
        if transition.closes_event:
            self._end(machine, transition, now)
        elif kind is not None and transition.event_id:
            if machine.event_id != transition.event_id:
                machine.event_id, machine.notified = transition.event_id, None
                machine.is_answered = False
                if machine.waiting is not None:  # an earlier event, which has ended
                    self._suppress(machine)
            notice = Notice(
                kind,
                transition.machine,
                transition.captured_at,
                transition.reason,
                transition.event_id,
                provisional=transition.provisional,
            )
            if transition.is_continued:  # from before a restart: notified then
                machine.notified = notice
                machine.repeat_s = self._next_repeat_s(now)
            elif kind in self._settings.events and not _is_known(machine, kind):
                machine.waiting = notice
                machine.due_s = now + self._settings.picture_wait_s

    def _end(self, machine: _Machine, transition: Transition, now: float) -> None:
        """End the event of a machine: say so, or send at once what was waiting."""
        waiting, notified, machine.event_id = machine.waiting, machine.notified, ""
        machine.notified = None
        if waiting is not None:
            machine.waiting = replace(waiting, ended_s=transition.captured_at)
            machine.due_s = now
            if notified is None and (machine.is_silent or now < machine.cooled_s):
                self._suppress(machine)
        elif notified is not None and Kind.CLEARED in self._settings.events:
            machine.ready.append(
                replace(
                    notified,
                    kind=Kind.CLEARED,
                    reason=transition.reason,
                    ended_s=transition.captured_at,
                    picture="",
                )
            )

    def _suppress(self, machine: _Machine) -> None:
        machine.waiting = None
        machine.others += 1
        self._count_suppressed()

    def _add_evidence(self, machine: _Machine, evidence: EvidenceReady, now: float) -> None:
        waiting, notified = machine.waiting, machine.notified
        if waiting is not None and waiting.event_id == evidence.event_id:
            machine.waiting = self._describe(waiting, evidence)
            machine.due_s = min(machine.due_s, now)
        if notified is not None and notified.event_id == evidence.event_id:
            machine.notified = self._describe(notified, evidence)

    def _describe(self, notice: Notice, evidence: EvidenceReady) -> Notice:
        picture = evidence.picture if self._settings.picture else ""
        return replace(notice, headline=evidence.headline, picture=picture)

    def _add_health(self, machine: _Machine, health: SourceHealth, now: float) -> None:
        if health.state in _LOST:
            if machine.lost is None:
                machine.lost = Notice(Kind.LOST, health.machine, now, health.reason)
                machine.lost_due_s = now + self._settings.lost_after_s
        elif health.state is SourceState.RUNNING:
            lost, machine.lost = machine.lost, None
            if lost is not None and machine.lost_notified:
                machine.lost_notified = False
                if Kind.RECOVERED in self._settings.events:
                    notice = replace(lost, kind=Kind.RECOVERED, reason="", ended_s=now)
                    machine.ready.append(notice)

    def _due(self, name: str, now: float) -> Iterator[Notice]:
        machine = self._machines[name]
        if machine.is_silent:
            if machine.ready:  # the end of something that was notified before the shelf
                machine.ready.clear()
                self._count_suppressed()
            return
        lost = machine.lost
        if lost is not None and not machine.lost_notified and now >= machine.lost_due_s:
            machine.lost_notified = Kind.LOST in self._settings.events
            if machine.lost_notified:
                machine.ready.append(lost)
        yield from self._take_event(machine, now)
        allowed = [notice for notice in machine.ready if self._is_allowed(notice.kind, now)]
        machine.ready = [notice for notice in machine.ready if notice not in allowed]
        yield from allowed

    def _take_event(self, machine: _Machine, now: float) -> Iterator[Notice]:
        """Yield the notification of an event that is due, or its repetition."""
        waiting, notified = machine.waiting, machine.notified
        if waiting is not None:
            is_worse = notified is not None  # of the same event
            is_cool = is_worse or now >= machine.cooled_s
            if now >= machine.due_s and is_cool and self._is_allowed(waiting.kind, now):
                machine.waiting = None
                machine.cooled_s = now + 60 * self._settings.cooldown_minutes
                machine.repeat_s = self._next_repeat_s(now)
                if waiting.event_id == machine.event_id:
                    machine.notified = waiting
                others, machine.others = machine.others, 0
                yield replace(waiting, others=others)
        elif (
            notified is not None
            and not machine.is_answered
            and now >= machine.repeat_s
            and self._is_allowed(notified.kind, now)
        ):
            machine.notified = replace(notified, repeats=notified.repeats + 1)
            machine.repeat_s = self._next_repeat_s(now)
            yield machine.notified

    def _next_repeat_s(self, now: float) -> float:
        minutes = self._settings.repeat_minutes
        return float("inf") if minutes is None else now + 60 * minutes

    def _is_allowed(self, kind: Kind, now: float) -> bool:
        """Return whether the quiet hours allow a notification."""
        hours = self._settings.quiet_hours
        if hours is None or kind in self._settings.urgent:
            return True
        begin, end = hours
        moment = datetime.fromtimestamp(now).time()
        is_quiet = begin <= moment < end if begin < end else moment >= begin or moment < end
        return not is_quiet


def _is_known(machine: _Machine, kind: Kind) -> bool:
    """Return whether the event was notified as at least this severe, or is about to be."""
    known = [notice.kind for notice in (machine.notified, machine.waiting) if notice is not None]
    return Kind.ALARM in known or kind in known
