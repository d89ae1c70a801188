"""Write batches of records to the database; used by the writer's thread only."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from asd_monitor.history.codes import MAX_MS, QUALITY_CODES, STATE_CODES, finite, to_ms
from asd_monitor.history.events import EventTable
from asd_monitor.history.modes import ModeTable
from asd_monitor.history.names import NameTables
from asd_monitor.history.records import Event, EventNote, Shelf
from asd_monitor.history.summaries import Summaries
from asd_monitor.history.write_queue import EventChange, Item, ShelfEnd
from asd_monitor.records import ScoredWindow, Transition

DURABLE_INTERVAL_S = 5.0
"""Scores are safe from a power cut after this time at most."""
_INSERT_SCORE = "INSERT INTO score VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
ScoreValues = tuple[
    int, int, float | None, float | None, int, int, int, int, int | None
]  # fmt: skip


class Store:
    """The tables, with what must be known to add rows to them.

    Parameters
    ----------
    connection
        Open for writing.
    current
        The newest transition of each machine in this run, updated by this class. A machine that
        is not in it is new to the run: what an earlier run left open is closed.
    clock
        Seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    displayed
        Display names of the machines by their id.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        current: dict[str, Transition],
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        displayed: Mapping[str, str] | None = None,
    ) -> None:
        self.connection = connection
        self._current = current
        self._clock = clock
        self._monotonic = monotonic
        self._durable_at_s = -DURABLE_INTERVAL_S
        self._names = NameTables(connection, displayed)
        self._events = EventTable(connection, self._names)
        self._summaries = Summaries(connection)
        self._modes = ModeTable(connection)
        self._adopted = set[str]()
        self._scores: list[ScoreValues] = []
        self._last_score_ms: dict[int, int] = {}

    def write(self, items: Sequence[Item]) -> int:
        """Write items in one transaction; return the number of rows of scores.

        Raises
        ------
        sqlite3.Error
            If nothing could be written.
        """
        # What is written with FULL, and before it, survives a power cut: events, and often scores.
        now_s = self._monotonic()
        durable = now_s - self._durable_at_s >= DURABLE_INTERVAL_S
        durable = durable or any(not isinstance(item, ScoredWindow) for item in items)
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for item in items:
                self._write_item(item)
            count = self._write_scores()
            self._events.write_peaks()
            self._summaries.update(to_ms(self._clock()))
            self.connection.execute("COMMIT")
        except BaseException:
            self._scores.clear()
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        if durable:
            self._durable_at_s = now_s
        for item in items:
            if isinstance(item, Transition):
                self._current[item.machine] = item
        return count

    def finish(self, *, stopping: bool) -> None:
        """Summarise minutes that are complete; all of them, and end the states, if stopping."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._summaries.update(None if stopping else to_ms(self._clock()))
            if stopping:
                self._modes.close()
                for machine in self._adopted:
                    self._close_span(self._names.machine_id(machine), None)
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise

    def _write_item(self, item: Item) -> None:
        match item:
            case ScoredWindow():
                self._add_score(item)
            case Transition():
                self._add_transition(item)
            case Event():
                self._events.insert(item)
            case EventChange():
                self._events.change(item.event_id, item.values)
            case EventNote():
                self._events.add_note(item)
            case Shelf():
                self._add_shelf(item)
            case ShelfEnd():
                self._end_shelves(item)

    def _add_score(self, window: ScoredWindow) -> None:
        score, decision = window.score, window.decision
        machine_id = self._adopt(window.machine)
        at_ms = self._last_score_ms[machine_id] = to_ms(score.captured_at)
        self._scores.append(
            (
                machine_id,
                at_ms,
                finite(score.value),
                finite(score.level_dbfs),
                to_ms(decision.shift_s),
                STATE_CODES[decision.state],
                QUALITY_CODES[score.quality],
                int(score.lost_samples),
                self._names.limits_id(machine_id, window),
            )
        )
        self._events.observe(machine_id, window)
        self._modes.observe(machine_id, window)

    def _write_scores(self) -> int:
        rows, self._scores = self._scores, []
        if not rows:
            return 0
        self.connection.execute("SAVEPOINT scores")
        try:
            self.connection.executemany(_INSERT_SCORE, rows)
        except sqlite3.IntegrityError:  # two windows of a machine with the same time
            self.connection.execute("ROLLBACK TO scores")
            rows = [self._insert_at_free_time(row) for row in rows]
        self.connection.execute("RELEASE scores")
        for row in rows:
            self._summaries.add(row[0], row[1])
        return len(rows)

    def _insert_at_free_time(self, row: ScoreValues) -> ScoreValues:
        """Insert a score, up to some milliseconds later than its time if that is taken."""
        while True:
            try:
                self.connection.execute(_INSERT_SCORE, row)
            except sqlite3.IntegrityError:
                row = (row[0], row[1] + 1, *row[2:])
            else:
                return row

    def _add_transition(self, transition: Transition) -> None:
        machine_id = self._adopt(transition.machine)
        self._open_span(machine_id, transition)
        self._events.apply(machine_id, transition)

    def _open_span(self, machine_id: int, transition: Transition) -> None:
        # Recordings that are read faster than real time are ahead of the clock.
        at_ms = max(to_ms(transition.captured_at), self._last_score_ms.get(machine_id, -MAX_MS))
        if transition.is_continued:  # its time is from before the restart: nothing was monitored
            at_ms = max(at_ms, to_ms(self._clock()))
        self._close_span(machine_id, at_ms)
        self.connection.execute(
            "INSERT INTO state_span (machine_id, from_ms, state, reason) VALUES (?, ?, ?, ?)",
            (machine_id, at_ms, str(transition.state), transition.reason),
        )

    def _close_span(self, machine_id: int, at_ms: int | None) -> None:
        """Close the open span of a machine, at its newest score if no time is given."""
        if at_ms is None:
            row = self.connection.execute(
                "SELECT max(at_ms) FROM score WHERE machine_id = ?", (machine_id,)
            ).fetchone()
            at_ms = row[0]
        self.connection.execute(
            "UPDATE state_span SET to_ms = max(from_ms, coalesce(?, from_ms)) "
            "WHERE machine_id = ? AND to_ms IS NULL",
            (at_ms, machine_id),
        )

    def _adopt(self, machine: str) -> int:
        """Return a machine's id; at its first record, tidy what another run left."""
        machine_id = self._names.machine_id(machine)
        if machine in self._adopted:
            return machine_id
        self._summaries.resume(machine_id)
        self._modes.resume(machine_id)
        current = self._current.get(machine)
        if current is None:
            self._close_span(machine_id, None)
            self._events.resume(machine_id)
        elif not self._has_open_span(machine_id):  # the database is new, the run is not
            self._open_span(machine_id, current)
            self._events.apply(machine_id, current)
        else:
            self._events.resume(machine_id, same_run=True)
        self._adopted.add(machine)
        return machine_id

    def _has_open_span(self, machine_id: int) -> bool:
        sql = "SELECT 1 FROM state_span WHERE machine_id = ? AND to_ms IS NULL"
        return self.connection.execute(sql, (machine_id,)).fetchone() is not None

    def _add_shelf(self, shelf: Shelf) -> None:
        self.connection.execute(
            "INSERT INTO shelf (machine_id, from_ms, until_ms, who, why, kind) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._names.machine_id(shelf.machine),
                to_ms(shelf.from_s),
                to_ms(shelf.until_s),
                shelf.who,
                shelf.why,
                str(shelf.kind),
            ),
        )

    def _end_shelves(self, end: ShelfEnd) -> None:
        self.connection.execute(
            "UPDATE shelf SET until_ms = ? WHERE machine_id = ? AND until_ms > ?",
            (to_ms(end.at_s), self._names.machine_id(end.machine), to_ms(end.at_s)),
        )
