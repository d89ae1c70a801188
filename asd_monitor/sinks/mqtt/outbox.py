"""The queues of records that wait to be published over MQTT, and their order."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from asd_monitor.records import (
    EvidenceReady,
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
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import (
    MachineState,
    alarm_payload,
    encode,
    event_payload,
    evidence_payload,
    health_payload,
    score_payload,
    state_payload,
)

ONLINE, OFFLINE = b"online", b"offline"

Kind = Literal["score", "event", "retained"]
RetainedTopic = Literal["state", "health", "availability", "alarm"]


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message, ready to be sent."""

    kind: Kind
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether audio arrives from a machine's source."""

    machine: str
    online: bool


Item = (
    Message
    | ScoredWindow
    | Transition
    | EvidenceReady
    | MachineState
    | SourceHealth
    | Availability
    | MachineAlarm
)


class Outbox:
    """Bounded queues between the monitor and the broker; the caller holds the lock.

    Retained messages go first (only the newest of each topic is kept), then messages that a lost
    connection left unacknowledged, then events, then scores. Scores are accepted only while
    ``connected``. From a full queue the oldest entry is dropped.
    """

    def __init__(self, score_limit: int, event_limit: int, health_interval_s: float) -> None:
        self.connected = False
        self.scores: deque[ScoredWindow] = deque()
        self.events: deque[Transition | EvidenceReady] = deque()
        self.unacknowledged: deque[Message] = deque()
        self._score_limit = score_limit
        self._event_limit = event_limit
        self._health_interval_s = health_interval_s
        self._states: dict[str, MachineState] = {}
        self._reason_updated_at: dict[str, float] = {}
        self._health: dict[str, SourceHealth] = {}
        self._alarms: dict[str, MachineAlarm] = {}
        self._health_queued_at: dict[str, float] = {}
        self._due: dict[tuple[str, RetainedTopic], None] = {}  # in the order of becoming due

    def enqueue(self, record: Record, now: float) -> tuple[int, int]:
        """Accept a record at ``now`` (s since the epoch); return dropped scores and events."""
        match record:
            case ScoredWindow():
                return self._enqueue_score(record, now), 0
            case Transition():
                return 0, self._enqueue_event(record, now)
            case EvidenceReady():
                return 0, self._append_event(record)
            case SourceHealth():
                self._update_health(record, now)
            case LearningProgress():
                self._update_progress(record, now)
            case MachineAlarm():
                self._alarms[record.machine] = record
                self._due[record.machine, "alarm"] = None
            case MachineRemoved():
                self._remove(record.machine)
        return 0, 0

    def _remove(self, machine: str) -> None:
        """Forget the retained messages of a machine; its events are still published."""
        self._due = {key: None for key in self._due if key[0] != machine}
        for kept in (self._states, self._health, self._alarms):
            kept.pop(machine, None)
        self._reason_updated_at.pop(machine, None)
        self._health_queued_at.pop(machine, None)

    def shift_times(self, step_s: float) -> None:
        """Correct the times of everything kept, because the wall clock was set by ``step_s``.

        Messages that were already sent keep their time, so that duplicates can be recognised.
        """
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
        for index, event in enumerate(self.events):
            if isinstance(event, Transition):
                self.events[index] = replace(event, captured_at=event.captured_at + step_s)
            else:
                self.events[index] = replace(event, at=event.at + step_s)
        for index, window in enumerate(self.scores):
            score = replace(window.score, captured_at=window.score.captured_at + step_s)
            self.scores[index] = replace(window, score=score)

    def _enqueue_score(self, window: ScoredWindow, now: float) -> int:
        self._update_reason(window, now)
        if not self.connected:
            return 1
        self.scores.append(window)
        if len(self.scores) > self._score_limit:
            self.scores.popleft()
            return 1
        return 0

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

    def _enqueue_event(self, event: Transition, now: float) -> int:
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
        if event.state is event.previous:  # the initial state is not a change
            return 0
        return self._append_event(event)

    def _append_event(self, event: Transition | EvidenceReady) -> int:
        self.events.append(event)
        if len(self.events) > self._event_limit:
            self.events.popleft()
            return 1
        return 0

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

    def connect(self) -> None:
        """Accept scores from now on; all retained messages are due again."""
        self.connected = True
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

    def disconnect(self, unacknowledged: Iterable[Message]) -> int:
        """Keep unacknowledged messages for the next connection; return dropped scores."""
        self.connected = False
        to_resend = [message for message in unacknowledged if message.kind != "retained"]
        self.unacknowledged.extendleft(reversed(to_resend))
        dropped = len(self.scores)
        self.scores.clear()
        return dropped

    @staticmethod
    def count_dropped(item: "Record | Item") -> tuple[int, int]:
        """Return how many scores and events are lost if this item is dropped."""
        kind = item.kind if isinstance(item, Message) else None
        score = isinstance(item, ScoredWindow) or kind == "score"
        event = isinstance(item, Transition | EvidenceReady) or kind == "event"
        return int(score), int(event)

    def clear(self) -> tuple[int, int]:
        """Drop everything; return dropped scores and events."""
        kinds = [message.kind for message in self.unacknowledged]
        scores = len(self.scores) + kinds.count("score")
        events = len(self.events) + kinds.count("event")
        self.scores.clear()
        self.events.clear()
        self.unacknowledged.clear()
        self._due.clear()
        return scores, events

    def next(self) -> Item | None:
        """Remove and return what is to be published next; None if nothing waits."""
        if self._due:
            machine, topic = next(iter(self._due))
            del self._due[machine, topic]
            return self._retained_item(machine, topic)
        for queue in (self.unacknowledged, self.events, self.scores):
            if queue:
                return queue.popleft()
        return None

    def _retained_item(self, machine: str, topic: RetainedTopic) -> Item:
        if topic == "state":
            return self._states[machine]
        if topic == "alarm":
            return self._alarms[machine]
        health = self._health[machine]
        if topic == "health":
            return health
        return Availability(machine, health.state is SourceState.RUNNING)

    def __bool__(self) -> bool:
        return bool(self._due or self.unacknowledged or self.events or self.scores)


def _since(event: Transition, now: float) -> float:
    """Return when a state began; recordings may be read faster than real time."""
    return event.captured_at if event.is_continued else min(event.captured_at, now)


def _without_counts(health: SourceHealth) -> tuple[object, ...]:
    return health.state, health.reason, health.device, health.reopens


def to_message(item: Item, topics: Topics, qos_score: int, now: float) -> Message:
    """Return the message of an item; ``now`` in seconds since the epoch."""
    node, names = topics.node, topics.names
    match item:
        case Message():
            return item
        case ScoredWindow(machine=machine):
            payload = encode(score_payload(item, node, now, names))
            return Message("score", topics.score(machine), payload, qos_score, retain=False)
        case Transition(machine=machine):
            payload = encode(event_payload(item, node, names))
            return Message("event", topics.event(machine), payload, 1, retain=False)
        case EvidenceReady(machine=machine):
            payload = encode(evidence_payload(item, node, names))
            return Message("event", topics.evidence(machine), payload, 1, retain=False)
        case MachineState(machine=machine):
            payload = encode(state_payload(item, node, now, names))
            return Message("retained", topics.state(machine), payload, 1, retain=True)
        case SourceHealth(machine=machine):
            payload = encode(health_payload(item, node, now, names))
            return Message("retained", topics.health(machine), payload, 1, retain=True)
        case MachineAlarm(machine=machine):
            payload = encode(alarm_payload(item, node, now, names))
            return Message("retained", topics.alarm(machine), payload, 1, retain=True)
        case Availability(machine=machine, online=online):
            payload = ONLINE if online else OFFLINE
            return Message("retained", topics.availability(machine), payload, 1, retain=True)
