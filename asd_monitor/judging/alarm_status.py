"""Find what people did about the events of a machine."""

from collections.abc import Sequence

from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import Event, EventNote, NoteKind, Shelf
from asd_monitor.judging.actions import MAX_LISTED, is_unacknowledged
from asd_monitor.records import AlarmStatus, MachineAlarm

_ANSWERS = frozenset({NoteKind.ACK, NoteKind.NORMAL, NoteKind.FAULT, NoteKind.UNSURE})


def read_alarm(
    reader: HistoryReader, machine: str, at_s: float, open_event: str | None = None
) -> MachineAlarm:
    """Return the alarm of a machine.

    Parameters
    ----------
    reader
        The history.
    machine
        Name of the machine.
    at_s
        The present time, in seconds since the epoch.
    open_event
        Its open event, empty if there is none; None: as the history has it. The history is
        written some moments after an event opens or ends.
    """
    events = reader.events(machine, limit=MAX_LISTED)
    if open_event is None:
        open_event = next((event.id for event in events if event.closed_s is None), "")
    waiting = [event for event in events if is_unacknowledged(event)]
    is_new = bool(open_event) and all(event.id != open_event for event in events)
    alarm = _describe_events(reader, machine, at_s, open_event, events, waiting, is_new)
    shelves = reader.shelves(machine, at_s)
    return _add_shelf(alarm, shelves[0]) if shelves else alarm


def _describe_events(
    reader: HistoryReader,
    machine: str,
    at_s: float,
    open_event: str,
    events: Sequence[Event],
    waiting: Sequence[Event],
    is_new: bool,
) -> MachineAlarm:
    count = len(waiting) + is_new
    if not open_event:
        if not waiting:
            return MachineAlarm(machine, AlarmStatus.NONE, at_s)
        return MachineAlarm(machine, AlarmStatus.RETURNED, at_s, waiting[0].id, count)
    if is_new or any(event.id == open_event for event in waiting):
        return MachineAlarm(machine, AlarmStatus.UNACKNOWLEDGED, at_s, open_event, count)
    answer = _newest_answer(reader.notes(open_event))
    verdict = next(event.verdict for event in events if event.id == open_event)
    return MachineAlarm(
        machine,
        AlarmStatus.ACKNOWLEDGED,
        at_s,
        open_event,
        count,
        verdict,
        who="" if answer is None else answer.who,
        comment="" if answer is None else answer.text,
    )


def _newest_answer(notes: Sequence[EventNote]) -> EventNote | None:
    return next((note for note in reversed(notes) if note.kind in _ANSWERS), None)


def _add_shelf(alarm: MachineAlarm, shelf: Shelf) -> MachineAlarm:
    is_maintenance = shelf.kind is NoteKind.MAINTENANCE
    return MachineAlarm(
        alarm.machine,
        AlarmStatus.MAINTENANCE if is_maintenance else AlarmStatus.SHELVED,
        alarm.at,
        alarm.event_id,
        alarm.unacknowledged,
        alarm.verdict,
        shelf.until_s,
        shelf.who,
        shelf.why,
    )
