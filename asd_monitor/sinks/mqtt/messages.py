"""MQTT messages, and how records become messages."""

from dataclasses import dataclass
from typing import Literal

from asd_monitor.outbox.rows import Draft, Lane, Row
from asd_monitor.records import (
    EvidenceReady,
    MachineAlarm,
    Record,
    ScoredWindow,
    SourceHealth,
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


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message, ready to be sent."""

    kind: Kind
    topic: str
    payload: bytes
    qos: int
    retain: bool
    row: Row | None = None
    """The message of the outbox that it is; None for others."""
    expiry_s: int | None = None
    """The broker discards it after this time (MQTT 5); None: never."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether audio arrives from a machine's source."""

    machine: str
    online: bool


RetainedItem = MachineState | SourceHealth | Availability | MachineAlarm


def is_kept(record: Record) -> bool:
    """Return whether a record is published once, through the outbox, and not only retained."""
    match record:
        case Transition():
            return record.state is not record.previous  # the initial state is not a change
        case ScoredWindow() | EvidenceReady():
            return True
    return False


def is_event(record: Record) -> bool:
    """Return whether a record is an event or its evidence."""
    return isinstance(record, Transition | EvidenceReady)


def to_draft(record: Record, topics: Topics, now: float) -> Draft:
    """Return a record as a message of the outbox; ``now`` in seconds since the epoch.

    Raises
    ------
    TypeError
        If it does not go through the outbox.
    ValueError
        If it cannot be encoded.
    """
    node, names = topics.node, topics.names
    match record:
        case ScoredWindow(machine=machine):
            alarmed = record.decision.state in (State.WARNING, State.ALARM)
            lane = Lane.ALARM_SCORE if alarmed else Lane.SCORE
            payload = encode(score_payload(record, node, now, names))
            return Draft(lane, "score", machine, payload)
        case Transition(machine=machine):
            payload = encode(event_payload(record, node, names))
            return Draft(Lane.EVENT, "event", machine, payload)
        case EvidenceReady(machine=machine):
            payload = encode(evidence_payload(record, node, names))
            return Draft(Lane.EVENT, "evidence", machine, payload)
    msg = f"expected a score, an event or evidence, got {type(record).__name__}"
    raise TypeError(msg)


def outbox_message(
    row: Row,
    payload: bytes,
    topics: Topics,
    *,
    replayed: bool,
    qos_score: int,
    expiry_s: int | None,
) -> Message:
    """Return the MQTT message of a message of the outbox.

    Parameters
    ----------
    row, payload, replayed
        What :meth:`~asd_monitor.outbox.outbox.Outbox.next` returned.
    topics
        The monitor's topics; messages of another node name keep theirs.
    qos_score
        Quality of service of scores.
    expiry_s
        When the broker discards a present score.
    """
    if row.lane is Lane.EVENT:
        topic = topics.of_machine(row.machine, row.topic, row.node)
        return Message("event", topic, payload, 1, retain=False, row=row)
    topic = topics.of_machine(row.machine, "backlog" if replayed else "score", row.node)
    expiry_s = None if replayed else expiry_s
    return Message("score", topic, payload, qos_score, retain=False, row=row, expiry_s=expiry_s)


def retained_message(item: RetainedItem, topics: Topics, now: float) -> Message:
    """Return the retained message of an item; ``now`` in seconds since the epoch."""
    node, names = topics.node, topics.names
    match item:
        case MachineState(machine=machine):
            payload, topic = encode(state_payload(item, node, now, names)), topics.state(machine)
        case SourceHealth(machine=machine):
            payload, topic = encode(health_payload(item, node, now, names)), topics.health(machine)
        case MachineAlarm(machine=machine):
            payload, topic = encode(alarm_payload(item, node, now, names)), topics.alarm(machine)
        case Availability(machine=machine, online=online):
            payload, topic = ONLINE if online else OFFLINE, topics.availability(machine)
    return Message("retained", topic, payload, 1, retain=True)
