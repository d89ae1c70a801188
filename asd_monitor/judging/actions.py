"""The actions of people: acknowledge, judge and comment on events, shelve machines.

Each takes the store and who acts, records what was done, and returns what happens next in words for
the user. Pages, commands and MQTT use the same functions.
"""

import math
from dataclasses import dataclass

from asd_monitor.errors import ConfigError
from asd_monitor.history.records import VERDICT_KINDS, Event, NoteKind, Shelf
from asd_monitor.judging.feedback import Feedback, find_feedback, update_recordings
from asd_monitor.judging.resemblance import find_similar_fault
from asd_monitor.judging.store import MAX_WHO, Author, JudgingStore, clean

MAX_SHELF_S = 366 * 86_400.0
SHELF_KINDS = frozenset({NoteKind.SHELVE, NoteKind.MAINTENANCE})
PROTECTED_KINDS = frozenset({NoteKind.NORMAL, NoteKind.FAULT})
"""Verdicts after which the evidence of an event is never deleted."""
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action has done."""

    message: str
    """What was recorded and what happens next, in sentences for the user."""
    events: tuple[str, ...] = ()
    """The events that it concerns."""
    warning: str = ""
    """What the user should check; empty for nothing."""
    feedback: Feedback | None = None
    """The recordings from which the machine could be learned again, after a verdict."""


def acknowledge(store: JudgingStore, author: Author, event_id: str, comment: str = "") -> Outcome:
    """Acknowledge an event: someone has taken notice, so that notifications stop."""
    event = store.event(event_id)
    store.add_note(event, author, NoteKind.ACK, comment)
    return Outcome(f"Acknowledged. {_describe_end(event)}", (event.id,))


def acknowledge_machine(
    store: JudgingStore, author: Author, machine: str, comment: str = ""
) -> Outcome:
    """Acknowledge all events of a machine that no one has acknowledged or judged."""
    machine = store.find_machine(machine)
    events = store.reader.events(machine, unacknowledged=True, limit=MAX_LISTED)
    for event in events:
        store.add_note(event, author, NoteKind.ACK, comment)
    if not events:
        return Outcome(f"{machine} has no event that is not acknowledged.")
    count = "1 event" if len(events) == 1 else f"{len(events)} events"
    return Outcome(f"{count} of {machine} acknowledged.", tuple(event.id for event in events))


def judge(
    store: JudgingStore, author: Author, event_id: str, verdict: NoteKind, comment: str = ""
) -> Outcome:
    """Record what an event was: normal sound, a fault, or not known.

    Parameters
    ----------
    store, author
        Where it is recorded, and who says so.
    event_id
        The event. A later verdict replaces an earlier one, which is kept in the notes.
    verdict
        ``normal``, ``fault`` or ``unsure``.
    comment
        Why.
    """
    if verdict not in VERDICT_KINDS:
        msg = f"expected a verdict, {', '.join(sorted(VERDICT_KINDS))}; found {verdict!r}"
        raise ConfigError(msg)
    event = store.event(event_id)
    store.add_note(event, author, verdict, comment, protect=verdict in PROTECTED_KINDS)
    update_recordings(store, event.machine)
    return describe_verdict(store, event, verdict)


def describe_verdict(store: JudgingStore, event: Event, verdict: str) -> Outcome:
    """Return what a verdict about an event means, and what happens next."""
    feedback = find_feedback(store, event.machine)
    if verdict == NoteKind.NORMAL:
        similar = find_similar_fault(event, store.reader.events(event.machine, limit=MAX_LISTED))
        warning = "" if similar is None else _describe_similar(similar)
        return Outcome(_describe_normal(event, feedback), (event.id,), warning, feedback)
    if verdict == NoteKind.FAULT:
        message = (
            "Recorded as a fault. Its clip is kept, it is never learned as normal sound, and a "
            "new model is tested with it before it is used."
        )
    else:
        message = "Recorded as not decided. Nothing is learned from it."
    return Outcome(f"{message} {_describe_end(event)}".strip(), (event.id,), "", feedback)


def comment(store: JudgingStore, author: Author, event_id: str, text: str) -> Outcome:
    """Add a comment to an event."""
    if not text.strip():
        raise ConfigError("expected the text of a comment, found nothing")
    event = store.event(event_id)
    store.add_note(event, author, NoteKind.COMMENT, text)
    return Outcome("Comment added.", (event.id,))


def shelve(
    store: JudgingStore,
    author: Author,
    machine: str,
    until_s: float,
    why: str = "",
    kind: NoteKind = NoteKind.SHELVE,
) -> Outcome:
    """Send no notifications about a machine until a time; it is monitored as before.

    Parameters
    ----------
    store, author
        Where it is recorded, and who does it.
    machine
        Id or display name of the machine.
    until_s
        When notifications begin again, in seconds since the epoch.
    why
        Reason, for others.
    kind
        ``shelve``, or ``maintenance`` while people work at the machine.
    """
    machine = store.find_machine(machine)
    now = store.clock()
    if kind not in SHELF_KINDS:
        raise ConfigError(f"expected shelve or maintenance, found {kind!r}")
    if not math.isfinite(until_s) or not now < until_s <= now + MAX_SHELF_S:
        raise ConfigError("expected a time in the future, at most a year from now")
    shelf = Shelf(machine, now, until_s, clean(author.who, MAX_WHO) or "unknown", why, kind)
    store.add_shelf(shelf, author, _open_event(store, machine))
    state = "in maintenance" if kind is NoteKind.MAINTENANCE else "shelved"
    return Outcome(
        f"{machine} is {state} for {describe_duration(until_s - now)}: no notifications are sent "
        "until then. It is monitored and recorded as before."
    )


def unshelve(store: JudgingStore, author: Author, machine: str) -> Outcome:
    """End the shelf or the maintenance of a machine: notifications are sent again."""
    machine = store.find_machine(machine)
    if not store.reader.shelves(machine, store.clock()):
        return Outcome(f"{machine} is neither shelved nor in maintenance.")
    store.end_shelves(machine, author, _open_event(store, machine))
    return Outcome(f"Notifications about {machine} are sent again.")


def describe_duration(seconds: float) -> str:
    """Return a duration in words, such as ``8 h`` or ``1 h 30 min``."""
    minutes = max(1, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "1 min"


def _open_event(store: JudgingStore, machine: str) -> str:
    return next((event.id for event in store.reader.events(machine, open=True, limit=1)), "")


def _describe_end(event: Event) -> str:
    if event.closed_s is not None:
        return "The event has ended."
    return "The event is still open: it ends when the machine sounds normal again."


def _describe_normal(event: Event, feedback: Feedback) -> str:
    sentences = ["Counted as a false alarm."]
    if event.closed_s is None:
        sentences.append("The alarm ends when the machine sounds as it was learned again.")
    if event.id in feedback.recordings:
        sentences.append("Its clip is kept as a recording of normal sound.")
    elif event.closed_s is None:
        sentences.append("If a clip of it is written, that is kept as a recording of normal sound.")
    else:
        sentences.append("It has no clip, so there is nothing to learn from it.")
    return " ".join([*sentences, feedback.next_step])


def _describe_similar(fault: Event) -> str:
    return (
        f"The sound differs from normal in the same way as event {fault.id}, which was judged as a "
        "fault. Check the machine before you learn from this event."
    )
