"""Find what people did about the events of a machine."""

from collections.abc import Sequence
from dataclasses import replace

from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import EventNote, NoteKind, Shelf
from asd_monitor.judging.actions import MAX_LISTED
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
    if open_event is None:
        open_event = next((event.id for event in reader.events(machine, open=True, limit=1)), "")
    waiting = [event.id for event in reader.events(machine, unacknowledged=True, limit=MAX_LISTED)]
    alarm = MachineAlarm(machine, AlarmStatus.NONE, at_s, unacknowledged=len(waiting))
    if open_event:
        alarm = _describe_open(reader, alarm, open_event, waiting)
    elif waiting:
        alarm = replace(alarm, status=AlarmStatus.RETURNED, event_id=waiting[0])
    shelves = reader.shelves(machine, at_s)
    return _add_shelf(alarm, shelves[0]) if shelves else alarm


def _describe_open(
    reader: HistoryReader, alarm: MachineAlarm, open_event: str, waiting: Sequence[str]
) -> MachineAlarm:
    event = None if open_event in waiting else reader.event(open_event)
    if event is None:
        is_new = open_event not in waiting  # not yet in the history
        count = alarm.unacknowledged + is_new
        status = AlarmStatus.UNACKNOWLEDGED
        return replace(alarm, status=status, event_id=open_event, unacknowledged=count)
    alarm = replace(alarm, status=AlarmStatus.ACKNOWLEDGED, event_id=event.id)
    answer = _newest_answer(reader.notes(event.id))
    if answer is None:
        return alarm
    return replace(alarm, verdict=event.verdict, who=answer.who, comment=answer.text)


def _newest_answer(notes: Sequence[EventNote]) -> EventNote | None:
    return next((note for note in reversed(notes) if note.kind in _ANSWERS), None)


def _add_shelf(alarm: MachineAlarm, shelf: Shelf) -> MachineAlarm:
    is_maintenance = shelf.kind is NoteKind.MAINTENANCE
    status = AlarmStatus.MAINTENANCE if is_maintenance else AlarmStatus.SHELVED
    return replace(alarm, status=status, until_s=shelf.until_s, who=shelf.who, comment=shelf.why)
