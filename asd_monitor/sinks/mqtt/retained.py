"""The retained messages of each machine: states, health, availability, and alarms."""

import math
from dataclasses import replace
from typing import Literal

from asd_monitor.records import (
    LearningProgress,
    MachineAlarm,
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.sinks.mqtt.messages import Availability, RetainedItem
from asd_monitor.sinks.payloads import MachineState

RetainedTopic = Literal["state", "health", "availability", "alarm"]


class RetainedMessages:
    """The retained messages of all machines, and those that are due; the caller holds the lock.

    Only the newest message of each topic is kept.

    Parameters
    ----------
    health_interval_s
        Least time between messages of a machine if only counts or reasons change.
    """

    def __init__(self, health_interval_s: float) -> None:
        self._health_interval_s = health_interval_s
        self._states: dict[str, MachineState] = {}
        self._reason_updated_at: dict[str, float] = {}
        self._health: dict[str, SourceHealth] = {}
        self._alarms: dict[str, MachineAlarm] = {}
        self._health_queued_at: dict[str, float] = {}
        self._due: dict[tuple[str, RetainedTopic], None] = {}  # in the order of becoming due

    def update(self, record: Record, now: float) -> None:
        """Follow a record at ``now`` (s since the epoch)."""
        match record:
            case ScoredWindow():
                self._update_reason(record, now)
            case Transition():
                self._update_state(record, now)
            case SourceHealth():
                self._update_health(record, now)
            case LearningProgress():
                self._update_progress(record, now)
            case MachineAlarm():
                self._alarms[record.machine] = record
                self._due[record.machine, "alarm"] = None
            case MachineRemoved():
                self._remove(record.machine)

    def _remove(self, machine: str) -> None:
        """Forget the retained messages of a machine; its events are still published."""
        self._due = {key: None for key in self._due if key[0] != machine}
        for kept in (self._states, self._health, self._alarms):
            kept.pop(machine, None)
        self._reason_updated_at.pop(machine, None)
        self._health_queued_at.pop(machine, None)

    def shift_times(self, step_s: float) -> None:
        """Correct the times of all messages, because the wall clock was set by ``step_s``."""
        for machine, state in list(self._states.items()):
            # The time of a state from before a restart is not by the clock that was wrong.
            raised = state.state in (State.WARNING, State.ALARM)
            continued = raised and state.previous is state.state
            since = state.since if continued else state.since + step_s
            self._set_state(replace(state, since=since))
            self._reason_updated_at.pop(machine, None)
        for machine, health in self._health.items():
            if health.last_audio_at is not None:
                last_audio_at = health.last_audio_at + step_s
                self._health[machine] = replace(health, last_audio_at=last_audio_at)
                self._due[machine, "health"] = None
        for machine, alarm in self._alarms.items():
            self._alarms[machine] = replace(alarm, at=alarm.at + step_s)
            self._due[machine, "alarm"] = None
        self._health_queued_at.clear()

    def _update_reason(self, window: ScoredWindow, now: float) -> None:
        """Update the reason in the retained state, which changes more often than the state."""
        machine, decision = window.machine, window.decision
        state = self._states.get(machine)
        if state is None:
            since = min(window.score.captured_at, now)
            state = MachineState(machine, decision.state, None, since, "", False, None)
        else:
            since_s = now - self._reason_updated_at.get(machine, -math.inf)
            too_soon = 0 <= since_s < self._health_interval_s
            unchanged = decision.reason in ("", state.reason)
            if too_soon or unchanged or decision.state is not state.state:
                return
        self._reason_updated_at[machine] = now
        self._set_state(replace(state, reason=decision.reason))

    def _update_state(self, event: Transition, now: float) -> None:
        self._reason_updated_at[event.machine] = now
        last = self._states.get(event.machine)
        learning = last.learning if last and event.state is State.LEARNING else None
        self._set_state(
            MachineState(
                event.machine,
                event.state,
                event.previous,
                _since(event, now),
                event.reason,
                event.provisional,
                None if event.closes_event else event.event_id or None,
                learning,
            )
        )

    def _update_progress(self, progress: LearningProgress, now: float) -> None:
        machine = progress.machine
        state = self._states.get(machine)
        if state is None:
            state = MachineState(machine, State.LEARNING, None, now, "", False, None)
        reason = progress.reason if state.state is State.LEARNING else state.reason
        self._set_state(replace(state, learning=progress, reason=reason))

    def _set_state(self, state: MachineState) -> None:
        self._states[state.machine] = state
        self._due[state.machine, "state"] = None

    def _update_health(self, health: SourceHealth, now: float) -> None:
        machine, last = health.machine, self._health.get(health.machine)
        self._health[machine] = health
        if last is None or last.state is not health.state:
            self._due[machine, "availability"] = None
        changed = last is None or _without_counts(last) != _without_counts(health)
        queued_at = self._health_queued_at.get(machine)
        if changed or queued_at is None or not 0 <= now - queued_at < self._health_interval_s:
            self._health_queued_at[machine] = now
            self._due[machine, "health"] = None

    def republish_all(self) -> None:
        """Make all messages due again, because the broker may have lost them."""
        self._due |= dict.fromkeys((machine, "state") for machine in self._states)
        self._due |= dict.fromkeys((machine, "availability") for machine in self._health)
        self._due |= dict.fromkeys((machine, "health") for machine in self._health)
        self._due |= dict.fromkeys((machine, "alarm") for machine in self._alarms)

    @property
    def machines(self) -> set[str]:
        """The machines of which there is a retained message."""
        return self._states.keys() | self._health.keys() | self._alarms.keys()

    def republish(self, machine: str) -> None:
        """Make the retained messages of a machine due again."""
        if machine in self._states:
            self._due[machine, "state"] = None
        if machine in self._health:
            self._due[machine, "availability"] = None
            self._due[machine, "health"] = None
        if machine in self._alarms:
            self._due[machine, "alarm"] = None

    def clear(self) -> None:
        """Make no message due any more."""
        self._due.clear()

    def next(self) -> RetainedItem | None:
        """Remove and return what is to be published next; None if nothing is due."""
        if not self._due:
            return None
        machine, topic = next(iter(self._due))
        del self._due[machine, topic]
        return self._item(machine, topic)

    def _item(self, machine: str, topic: RetainedTopic) -> RetainedItem:
        if topic == "state":
            return self._states[machine]
        if topic == "alarm":
            return self._alarms[machine]
        health = self._health[machine]
        if topic == "health":
            return health
        return Availability(machine, health.state is SourceState.RUNNING)

    def __bool__(self) -> bool:
        return bool(self._due)


def _since(event: Transition, now: float) -> float:
    """Return when a state began; recordings may be read faster than real time."""
    return event.captured_at if event.is_continued else min(event.captured_at, now)


def _without_counts(health: SourceHealth) -> tuple[object, ...]:
    return health.state, health.reason, health.device, health.reopens
