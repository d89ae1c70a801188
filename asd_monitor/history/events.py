"""Write the events of machines: open them, follow their peak, close them."""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from asd_monitor.history.cases import TROUBLE
from asd_monitor.history.codes import STATE_CODES, finite, to_ms, to_s
from asd_monitor.history.names import NameTables
from asd_monitor.history.records import Event, EventNote, NoteKind
from asd_monitor.records import UNLEARNED_RULE, Band, ScoredWindow, State, Transition

PROGRAM = "asd-monitor"
"""Author of the notes that the program writes itself."""

_DERIVED = frozenset({"id", "machine", "verdict", "acknowledged"})
CHANGEABLE = frozenset(field.name for field in fields(Event)) - _DERIVED
"""Fields of an event that :meth:`EventTable.change` accepts."""
_TIMES = {"opened_s": "opened_ms", "closed_s": "closed_ms"}


@dataclass(slots=True)
class _OpenEvent:
    """The open event of a machine, as far as its peak needs it."""

    id: str
    peak_state: State
    peak_score: float | None
    shift_s: float
    left_open_s: float | None = None
    """When an earlier run last scored the machine; None once this run has seen the trouble."""
    changed: bool = False


def to_column(name: str, value: Any) -> tuple[str, object]:  # noqa: ANN401 - any field of Event
    """Return the column and the stored value of a field of an event."""
    if name in _TIMES:
        return _TIMES[name], None if value is None else to_ms(value)
    if name == "bands":
        return name, json.dumps([asdict(band) for band in value])
    if isinstance(value, State):
        return name, str(value)
    return name, int(value) if isinstance(value, bool) else value


def parse_bands(text: str) -> tuple[Band, ...]:
    """Return the stored bands of an event."""
    return tuple(Band(**band) for band in json.loads(text))


class EventTable:
    """The tables of events and notes.

    Parameters
    ----------
    connection
        The database.
    names
        Ids of the machines.
    """

    def __init__(self, connection: sqlite3.Connection, names: NameTables) -> None:
        self._connection = connection
        self._names = names
        self._open: dict[int, _OpenEvent] = {}
        self._shift_s: dict[int, float] = {}

    def resume(self, machine_id: int, *, same_run: bool = False) -> None:
        """Continue the event that an earlier run, or an earlier connection, left open."""
        row = self._connection.execute(
            "SELECT id, peak_state, peak_score, shift_s, opened_ms, "
            "(SELECT max(at_ms) FROM score WHERE machine_id = event.machine_id) AS last_ms "
            "FROM event WHERE machine_id = ? AND closed_ms IS NULL ORDER BY opened_ms DESC",
            (machine_id,),
        ).fetchone()
        if row is None:
            return
        left_open_s = None if same_run else to_s(row["last_ms"] or row["opened_ms"])
        self._open[machine_id] = _OpenEvent(
            row["id"], State(row["peak_state"]), row["peak_score"], row["shift_s"], left_open_s
        )

    def apply(self, machine_id: int, transition: Transition) -> None:
        """Open, continue or close the event of a transition."""
        if not transition.event_id:
            return
        current = self._open.get(machine_id)
        if transition.state in TROUBLE:
            if current is None or current.id != transition.event_id:
                self._close_others(machine_id, transition)
                current = self._insert_new(machine_id, transition)
            else:
                self._raise_peak(current, transition)
            current.left_open_s = None
        elif transition.closes_event:
            self._close(machine_id, transition)
        elif transition.rule == UNLEARNED_RULE and current is not None:
            self._explain(current, transition)

    def observe(self, machine_id: int, window: ScoredWindow) -> None:
        """Follow the highest score and the longest shift of an open event."""
        self._shift_s[machine_id] = shift_s = window.decision.shift_s
        current, value = self._open.get(machine_id), finite(window.score.value)
        if current is None:
            return
        is_judged = window.decision.verdict.is_judged
        peak = current.peak_score
        if is_judged and value is not None and (peak is None or value > peak):
            current.peak_score, current.changed = value, True
        if shift_s > current.shift_s:
            current.shift_s, current.changed = shift_s, True

    def write_peaks(self) -> None:
        """Write the peaks that have changed."""
        for current in self._open.values():
            if current.changed:
                values = {"peak_score": current.peak_score, "shift_s": current.shift_s}
                self.change(current.id, values)
                current.changed = False

    def insert(self, event: Event) -> None:
        """Insert an event, unless there is one with its id."""
        columns = dict(to_column(name, getattr(event, name)) for name in CHANGEABLE)
        columns |= {"id": event.id, "machine_id": self._names.machine_id(event.machine)}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._connection.execute(
            f"INSERT OR IGNORE INTO event ({names}) VALUES ({marks})",  # noqa: S608 - own names
            tuple(columns.values()),
        )

    def change(self, event_id: str, values: Mapping[str, Any]) -> None:
        """Change fields of an event; those of a closed one too."""
        columns = dict(to_column(name, value) for name, value in values.items())
        assignments = ", ".join(f"{name} = ?" for name in columns)
        self._connection.execute(
            f"UPDATE event SET {assignments} WHERE id = ?",  # noqa: S608 - own names
            (*columns.values(), event_id),
        )

    def add_note(self, note: EventNote) -> None:
        """Add a note."""
        self._connection.execute(
            "INSERT INTO event_note (event_id, at_ms, who, kind, text) VALUES (?, ?, ?, ?, ?)",
            (note.event_id, to_ms(note.at_s), note.who, str(note.kind), note.text),
        )

    def _insert_new(self, machine_id: int, transition: Transition) -> _OpenEvent:
        score = transition.score
        value = None if score is None else finite(score.value)
        shift_s = self._shift_s.get(machine_id, 0.0)
        self.insert(
            Event(
                id=transition.event_id,
                machine=transition.machine,
                opened_s=transition.captured_at,
                peak_state=transition.state,
                peak_score=value,
                threshold=None if score is None else finite(score.threshold),
                rule=transition.rule,
                reason=transition.reason,
                shift_s=shift_s,
                model_sha256=score.model.sha256 if score is not None and score.model else "",
                provisional=transition.provisional,
            )
        )
        current = _OpenEvent(transition.event_id, transition.state, value, shift_s)
        self._open[machine_id] = current
        return current

    def _raise_peak(self, current: _OpenEvent, transition: Transition) -> None:
        if STATE_CODES[transition.state] <= STATE_CODES[current.peak_state]:
            return
        current.peak_state = transition.state
        values = {
            "peak_state": transition.state,
            "rule": transition.rule,
            "reason": transition.reason,
        }
        self.change(current.id, values)

    def _explain(self, current: _OpenEvent, transition: Transition) -> None:
        """Note that a warning is explained by a state that was not learned."""
        if current.peak_state is State.WARNING:
            self.change(current.id, {"rule": transition.rule, "reason": transition.reason})

    def _close(self, machine_id: int, transition: Transition) -> None:
        self.write_peaks()
        current = self._open.pop(machine_id, None)
        at_ms = to_ms(transition.captured_at)
        self._connection.execute(
            "UPDATE event SET closed_ms = max(opened_ms, ?) WHERE id = ? AND closed_ms IS NULL",
            (at_ms, transition.event_id),
        )
        text = ""
        if transition.state is State.LEARNING:
            text = "closed because the machine is learned again"
        elif current is not None and current.left_open_s is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(current.left_open_s))
            text = (
                f"the monitor was stopped; it last scored this machine at {since}, and found it "
                "normal when it started again"
            )
        if text:
            at_s = transition.captured_at
            note = EventNote(transition.event_id, at_s, PROGRAM, NoteKind.COMMENT, text)
            self.add_note(note)

    def _close_others(self, machine_id: int, transition: Transition) -> None:
        """Close events left open by a run that could not read the history."""
        rows = self._connection.execute(
            "SELECT id FROM event WHERE machine_id = ? AND closed_ms IS NULL AND id != ?",
            (machine_id, transition.event_id),
        ).fetchall()
        for (event_id,) in rows:
            at_s = transition.captured_at
            self._connection.execute(
                "UPDATE event SET closed_ms = max(opened_ms, ?) WHERE id = ?",
                (to_ms(at_s), event_id),
            )
            text = f"closed because {transition.event_id} began"
            self.add_note(EventNote(event_id, at_s, PROGRAM, NoteKind.COMMENT, text))
