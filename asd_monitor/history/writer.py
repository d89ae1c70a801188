"""Write the history from a thread of its own, without ever blocking or failing the caller."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from asd_monitor.errors import StateError
from asd_monitor.history.database import (
    NewerHistoryError,
    is_damage,
    open_to_write,
)
from asd_monitor.history.events import CHANGEABLE
from asd_monitor.history.records import Event, EventNote, Shelf
from asd_monitor.history.retention import Retention
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.store import Store
from asd_monitor.history.write_queue import EventChange, Item, ShelfEnd, WriteQueue
from asd_monitor.records import ScoredWindow, Transition
from asd_monitor.storage.database_files import set_aside

logger = logging.getLogger(__name__)

WRITE_INTERVAL_S = 1.0
RETRY_S = 5.0
RETENTION_INTERVAL_S = 60.0
CLOSE_TIMEOUT_S = 5.0

Count = Literal["written", "dropped", "set_aside"]


class HistoryWriter:
    """The history of a monitor, open for writing.

    All methods return at once, except :meth:`open`, :meth:`flush` and :meth:`close`. If the disk
    is full, what was recorded waits in memory up to a limit and is written when there is room
    again; beyond the limit the oldest scores are dropped and counted. A damaged file is set
    aside, and a new one begins.

    Parameters
    ----------
    path
        The database.
    settings
        How much is kept.
    count
        Called with ``written`` or ``dropped`` and a number of records, or with ``set_aside`` and
        1 when a damaged file was set aside.
    clock
        Seconds since the epoch.
    queue
        What waits to be written; with other limits in tests.
    displayed
        Display names of the machines by their id, which are stored for commands that are given one.
    """

    def __init__(
        self,
        path: Path,
        settings: HistorySettings | None = None,
        *,
        count: Callable[[Count, int], None] = lambda _kind, _number: None,
        clock: Callable[[], float] = time.time,
        queue: WriteQueue | None = None,
        displayed: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.dropped = 0
        """Records that were not written."""
        self.is_writing = False
        """False while nothing can be written: the disk is full, or the file of a newer program."""
        self._settings = settings or HistorySettings()
        self._count = count
        self._clock = clock
        self._queue = WriteQueue() if queue is None else queue  # an empty queue is false
        self._displayed = {} if displayed is None else displayed
        self._current: dict[str, Transition] = {}
        self._store: Store | None = None
        self._open_events: dict[str, str] = {}
        self._closing = False
        self._refused = False
        self._problem = ""
        self._flushed = threading.Condition()
        self._flush_wanted = False
        self._busy = False
        self._retention_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def open(self) -> None:
        """Open the database and start the thread; a database that cannot be opened is retried."""
        self._try_to_open()
        self._thread.start()

    def open_events(self) -> Mapping[str, str]:
        """Return the events that an earlier run left open, by machine; read by :meth:`open`."""
        return self._open_events

    def record(self, record: ScoredWindow | Transition) -> None:
        """Add a score, or a change of state, which opens and closes events by its event id."""
        self._put(record)

    def open_event(self, event: Event) -> None:
        """Add an event, unless there is one with its id."""
        self._put(event)

    def update_event(self, event_id: str, **values: Any) -> None:  # noqa: ANN401 - fields of Event
        """Change fields of an event, open or closed; times in seconds.

        Raises
        ------
        ValueError
            If a name is not a field of :class:`Event` that can be changed.
        """
        unknown = values.keys() - CHANGEABLE
        if unknown:
            msg = f"expected fields of Event that can be changed, got {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        if values:
            self._put(EventChange(event_id, values))

    def add_note(self, note: EventNote) -> None:
        """Add a note to an event."""
        self._put(note)

    def shelve(self, shelf: Shelf) -> None:
        """Add a time in which alarms of a machine disturb no one."""
        self._put(shelf)

    def unshelve(self, machine: str, at_s: float) -> None:
        """End all shelves of a machine."""
        self._put(ShelfEnd(machine, at_s))

    def change_settings(self, settings: HistorySettings) -> None:
        """Keep the history for as long as these settings say from now on; from any thread."""
        self._settings = settings

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is queued now; return whether everything was written."""
        with self._queue.condition:
            self._flush_wanted = True
            self._queue.condition.notify_all()
        with self._flushed:
            return self._flushed.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def close(self) -> None:
        """Write what is queued and close the database; may be called twice."""
        with self._queue.condition:
            self._closing = True
            self._queue.condition.notify_all()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        else:
            self._close_store()

    def size_bytes(self) -> int:
        """Return the size of the database with its log, in bytes."""
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += os.stat(f"{self.path}{suffix}").st_size
            except OSError:
                continue
        return total

    def queue_depth(self) -> int:
        """Return the number of records that wait to be written."""
        return len(self._queue)

    def _put(self, item: Item) -> None:
        if self._closing or self._refused:
            self._drop(1)
            return
        self._drop(self._queue.put(item))

    def _drop(self, number: int) -> None:
        if number:
            self.dropped += number
            self._count("dropped", number)

    def _run(self) -> None:
        while True:
            self._wait()
            closing = self._closing
            failed = not self._write_queued()
            if closing:
                break
            if failed:
                with self._queue.condition:
                    self._queue.condition.wait_for(lambda: self._closing, RETRY_S)
        self._drop(len(self._queue.take()))
        self._close_store()

    def _wait(self) -> None:
        """Wait until there is something to write, then a moment for more of it."""
        condition = self._queue.condition
        with condition:
            condition.wait_for(lambda: self._closing or len(self._queue) > 0, RETENTION_INTERVAL_S)
            condition.wait_for(lambda: self._closing or self._flush_wanted, WRITE_INTERVAL_S)
            self._flush_wanted = False

    def _write_queued(self) -> bool:
        """Write everything in the queue; return False if it failed and is to be tried again."""
        self._busy = True
        try:
            entries = self._queue.take()
            if self._refused:
                self._drop(len(entries))
                return True
            try:
                self._write([item for _, item in entries])
            except (sqlite3.Error, OSError, StateError) as error:
                self._drop(self._queue.put_back(entries))
                return self._fail(error)
            except Exception:  # a record that cannot be stored must not stop the others
                logger.exception("%d records could not be stored", len(entries))
                self._abandon_store()
                self._drop(len(entries))
            return True
        finally:
            with self._flushed:
                self._busy = False
                self._flushed.notify_all()

    def _write(self, items: list[Item]) -> None:
        if self._store is None:
            self._open_store()
        store = self._store
        assert store is not None  # noqa: S101 - opened above
        if items:
            self._count("written", store.write(items))
        else:
            store.finish(stopping=False)
        now = self._clock()
        if not 0 <= now - self._retention_at < RETENTION_INTERVAL_S:
            self._retention_at = now
            Retention(store.connection, self._settings).step(round(1000 * now))
        self._succeed()

    def _try_to_open(self) -> None:
        try:
            self._open_store()
            self._open_events = self._read_open_events()
            self._succeed()
        except (sqlite3.Error, OSError, StateError) as error:
            self._fail(error)

    def _open_store(self) -> None:
        self._store = Store(
            open_to_write(self.path), self._current, self._clock, displayed=self._displayed
        )

    def _read_open_events(self) -> dict[str, str]:
        assert self._store is not None  # noqa: S101 - opened by the caller
        rows = self._store.connection.execute(
            "SELECT machine.name, event.id FROM event JOIN machine ON machine.id = machine_id "
            "WHERE closed_ms IS NULL ORDER BY opened_ms"
        )
        return dict(map(tuple, rows.fetchall()))

    def _fail(self, error: Exception) -> bool:
        """Report a failure once; return whether to try again at once, as after damage."""
        self._abandon_store()
        self.is_writing = False
        if is_damage(error) and self._set_aside(error):
            return True
        self._refused = isinstance(error, NewerHistoryError)
        problem = str(error)
        if problem != self._problem:
            self._problem = problem
            logger.warning("history: not written: %s", problem)
        return self._refused

    def _set_aside(self, error: Exception) -> bool:
        try:
            aside = set_aside(self.path)
        except OSError as failure:
            logger.warning("history: %s is damaged and cannot be renamed: %s", self.path, failure)
            return False
        self._count("set_aside", 1)
        logger.warning("history: %s was damaged (%s); it is now %s", self.path, error, aside.name)
        return True

    def _succeed(self) -> None:
        if self._problem:
            logger.info("history: written again to %s", self.path)
        self._problem = ""
        self.is_writing = True

    def _abandon_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.connection.close()

    def _close_store(self) -> None:
        store = self._store
        if store is None:
            return
        try:
            store.finish(stopping=True)
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            logger.warning("history: the end could not be written: %s", error)
        self._abandon_store()
