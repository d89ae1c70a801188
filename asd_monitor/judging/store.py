"""Write what people did to the history, from any process and while a monitor writes it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import ConfigError, StateError
from asd_monitor.history.codes import to_ms
from asd_monitor.history.database import FILE_NAME, open_to_read, open_to_write
from asd_monitor.history.events import EventTable
from asd_monitor.history.names import NameTables
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import AuditEntry, Event, EventNote, NoteKind, Shelf
from asd_monitor.unicode_names import find_id, list_names

MAX_WHO = 80
MAX_TEXT = 2000


class UnknownEventError(ConfigError):
    """There is no event with this id."""


class UnknownMachineError(ConfigError):
    """The history has no machine of this name."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something, and where it comes from."""

    who: str
    """Name of a person, or of a program that acts for people."""
    via: str
    """``page``, ``command line`` or ``mqtt``."""


class JudgingStore:
    """The history and the evidence of a state folder, as far as people add to them.

    Every method writes one transaction, which is on the disk when it returns.

    Parameters
    ----------
    root
        The state folder.
    clock
        Seconds since the epoch.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self.clock = clock
        self.path = root / FILE_NAME
        self.reader = HistoryReader(self.path)

    def event(self, event_id: str) -> Event:
        """Return an event; raise UnknownEventError if there is none."""
        event = self.reader.event(event_id)
        if event is None:
            msg = f"there is no event {event_id!r} in the history {self.path}"
            raise UnknownEventError(msg)
        return event

    def find_machine(self, machine: str) -> str:
        """Return the id of a machine, given its id or its display name.

        Raises
        ------
        UnknownMachineError
            If the history has no such machine.
        """
        known = self.reader.display_names()
        found = find_id(machine, known)
        if found is None:
            msg = (
                f"there is no machine {machine!r} in the history {self.path}; expected one of: "
                f"{list_names(known)}"
            )
            raise UnknownMachineError(msg)
        return found

    def add_note(
        self, event: Event, author: Author, kind: NoteKind, text: str, *, protect: bool = False
    ) -> None:
        """Add a note to an event, and never delete its evidence from now on if ``protect``."""
        note = self._note(event.id, author, kind, text)
        with self._transaction() as connection:
            table = EventTable(connection, NameTables(connection))
            table.add_note(note)
            if protect:
                table.change(event.id, {"protected": True})
            entry = AuditEntry(note.at_s, note.who, author.via, str(kind), event.machine, event.id)
            _insert_audit(connection, entry, note.text)

    def add_shelf(self, shelf: Shelf, author: Author, event_id: str = "") -> None:
        """Replace the present shelf of a machine, and note it at its open event if there is one."""
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(shelf.until_s))
        text = f"until {until}" + (f": {shelf.why}" if shelf.why else "")
        with self._transaction() as connection:
            _end_shelves(connection, shelf.machine, shelf.from_s)
            connection.execute(
                "INSERT INTO shelf (machine_id, from_ms, until_ms, who, why, kind) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    NameTables(connection).machine_id(shelf.machine),
                    to_ms(shelf.from_s),
                    to_ms(shelf.until_s),
                    shelf.who,
                    shelf.why,
                    str(shelf.kind),
                ),
            )
            self._record(connection, shelf.machine, event_id, author, shelf.kind, text)

    def end_shelves(self, machine: str, author: Author, event_id: str = "") -> None:
        """End all shelves of a machine now."""
        with self._transaction() as connection:
            _end_shelves(connection, machine, self.clock())
            self._record(connection, machine, event_id, author, NoteKind.UNSHELVE, "")

    def add_audit(self, entry: AuditEntry) -> None:
        """Record something that is no note, such as a command that was refused."""
        with self._transaction() as connection:
            _insert_audit(connection, entry, clean(entry.text, MAX_TEXT))

    def _note(self, event_id: str, author: Author, kind: NoteKind, text: str) -> EventNote:
        who = clean(author.who, MAX_WHO) or "unknown"
        return EventNote(event_id, self.clock(), who, kind, clean(text, MAX_TEXT))

    def _record(
        self,
        connection: sqlite3.Connection,
        machine: str,
        event_id: str,
        author: Author,
        kind: NoteKind,
        text: str,
    ) -> None:
        note = self._note(event_id, author, kind, text)
        if event_id:
            EventTable(connection, NameTables(connection)).add_note(note)
        entry = AuditEntry(note.at_s, note.who, author.via, str(kind), machine, event_id)
        _insert_audit(connection, entry, note.text)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        open_to_read(self.path).close()  # fails if there is no history, instead of creating one
        try:
            with closing(open_to_write(self.path)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            msg = f"{self.path}: the history cannot be written: {error}; nothing was changed"
            raise StateError(msg) from error


def clean(text: str, max_characters: int) -> str:
    """Return text without control characters, except line feeds, and not longer than allowed."""
    text = text.replace("\r\n", "\n").strip()
    printable = "".join(char for char in text if char == "\n" or char.isprintable())
    return printable[:max_characters]


def _end_shelves(connection: sqlite3.Connection, machine: str, at_s: float) -> None:
    connection.execute(
        "UPDATE shelf SET until_ms = max(from_ms, ?) WHERE until_ms > ? "
        "AND machine_id = (SELECT id FROM machine WHERE name = ?)",
        (to_ms(at_s), to_ms(at_s), machine),
    )


def _insert_audit(connection: sqlite3.Connection, entry: AuditEntry, text: str) -> None:
    connection.execute(
        "INSERT INTO audit (at_ms, who, via, action, machine, event_id, accepted, text) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            to_ms(entry.at_s),
            entry.who,
            entry.via,
            entry.action,
            entry.machine,
            entry.event_id,
            int(entry.accepted),
            text,
        ),
    )
