"""The outbox: messages are committed, handed over to be sent, and marked when acknowledged."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asd_monitor.outbox.answers import Answers
from asd_monitor.outbox.database import DamagedOutboxError
from asd_monitor.outbox.file import OutboxFile
from asd_monitor.outbox.lanes import PAGE_ROWS
from asd_monitor.outbox.report import OutboxReport
from asd_monitor.outbox.rows import Draft, Lane, Row, first_id
from asd_monitor.outbox.sending import Sending
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.store import OutboxStore
from asd_monitor.outbox.unstored import MemoryLimits, UnstoredMessages
from asd_monitor.outbox.upkeep import Upkeep

logger = logging.getLogger(__name__)

MAX_UNRECORDED = 100_000
"""Acknowledgements of stored messages that are kept in memory while the disk is full; with more, no
more of the backlog is sent until there is room."""


class Outbox(Sending):
    """Messages between the monitor and a broker.

    A message is committed by :meth:`commit`, handed over by :meth:`next`, and ends with
    :meth:`acknowledge` or :meth:`refuse`; until then it is handed over again on each connection.
    What cannot be stored is kept in memory, up to a limit, and stored when that is possible again.
    While the disk is full, what is stored already is still handed over.

    :meth:`open`, :meth:`commit`, :meth:`maintain` and :meth:`close` are for one thread, the others
    for any.

    Parameters
    ----------
    path
        The database; None: everything is kept in memory only.
    settings
        How much is kept.
    node
        Name of the monitor, which is part of the key of its messages.
    report
        Receives what is dropped and set aside.
    memory
        Limits of what is kept in memory.
    clock
        Seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        path: Path | None,
        settings: OutboxSettings,
        node: str,
        report: OutboxReport,
        *,
        memory: MemoryLimits | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, report, clock, monotonic)
        self.path = path
        self.epoch = 0
        self._node = node
        self._file = OutboxFile(path, report, monotonic)
        self._upkeep = Upkeep(settings, report, clock, monotonic)
        self._memory = UnstoredMessages(memory or MemoryLimits(), report)
        self._next_seq = 0

    # --- by any thread

    @property
    def is_degraded(self) -> bool:
        """Whether messages are kept in memory only, although they should be stored."""
        return self.path is not None and not self._file.is_writable

    @property
    def size_bytes(self) -> int:
        """Size of the database."""
        return self._upkeep.size_bytes

    @property
    def waiting_scores(self) -> int:
        """Number of scores that the broker has not acknowledged."""
        return self._count(Lane.SCORE) + self._count(Lane.ALARM_SCORE)

    @property
    def waiting_events(self) -> int:
        """Number of events that the broker has not acknowledged."""
        return self._count(Lane.EVENT)

    def _count(self, lane: Lane) -> int:
        store = self._file.store
        stored = 0 if store is None else store.waiting[lane]
        stored += self._memory.count(lane)
        with self._lock:
            answered = 0 if store is None else self._unrecorded.count(lane)
            answered += self._new_answers.count(lane)
        return max(0, stored - answered)

    def oldest_age_s(self) -> float:
        """Return how long the oldest message has waited; 0 if none waits."""
        oldest_ms = self._upkeep.oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1000)

    def is_flushed(self) -> bool:
        """Return whether nothing waits to be sent that would be lost at the end."""
        with self._lock:
            lanes = self._lanes
            if lanes.scores or lanes.events.queue:
                return False
            done = self._new_answers.ids()
            return self._file.is_writable or all(row_id in done for row_id in self._memory.ids())

    # --- by the thread that owns the database

    def open(self) -> None:
        """Open the database; one that cannot be opened is tried again later."""
        now_ms = round(1000 * self._clock())
        opened = self._file.open()
        self._choose_epoch(now_ms)
        self._write(opened=opened)

    def _choose_epoch(self, now_ms: int) -> None:
        """Choose the epoch of this start, which then remains."""
        store = self._file.store
        if self.epoch:
            return
        try:
            self.epoch = now_ms if store is None else store.choose_epoch(now_ms)
            self._acked_ms = 0 if store is None else store.last_acked_ms()
        except (sqlite3.Error, OSError) as error:
            self._file.fail(error)
            self.epoch = now_ms

    def commit(self, drafts: list[tuple[Draft, int]]) -> bool:
        """Store new messages and acknowledgements, then hand messages over.

        Parameters
        ----------
        drafts
            New messages, each with :attr:`steps_ms` at its time.

        Returns
        -------
        bool
            Whether messages may have been handed over.
        """
        now_ms = round(1000 * self._clock())
        new = [self._to_row(draft, steps_ms, now_ms) for draft, steps_ms in drafts]
        self._memory.rows.update((row.id, row) for row in new)
        has_room = self._write(opened=self._file.open())
        with self._lock:
            for row in new:
                if row.id in self._memory.rows or self._file.store is not None:
                    self._lanes.offer(row)
        return self._refill() or bool(new) or has_room

    def _to_row(self, draft: Draft, steps_ms: int, now_ms: int) -> Row:
        row_id = first_id(self.epoch) + self._next_seq
        self._next_seq += 1
        return Row(
            row_id, self.epoch, self._node, draft.lane, draft.topic, draft.machine, draft.payload,
            now_ms, steps_ms,
        )  # fmt: skip

    def _write(self, *, opened: bool = False) -> bool:
        """Commit what is new and what was answered; keep it in memory if that fails.

        Returns
        -------
        bool
            Whether there may be room for more messages of the backlog.
        """
        was_writable = self._file.is_writable
        with self._lock:
            new = self._committing = self._new_answers
            self._new_answers = Answers()
        is_due = opened or self._memory.rows or new or not was_writable
        written = False
        if self._file.store is not None and self._file.is_due and is_due:
            written = self._store_all(new)
        elif self._file.is_writable:
            written = True  # there was nothing to write
        if not written:
            self._keep_answers(new)
            self._memory.trim(self._handed)
        with self._lock:
            done = new.ids()
            if written:
                done |= self._unrecorded.ids()
                self._unrecorded = Answers()
            self._lanes.handed.difference_update(done - self._unrecorded.ids())
            self._committing = Answers()
            if opened or (written and not was_writable):
                self._lanes.restart()
            return self._replays.remove(new.ids(), self._monotonic())

    def _store_all(self, new: Answers) -> bool:
        """Commit everything to the database; return whether that succeeded."""
        store = self._file.store
        assert store is not None  # noqa: S101 - checked by the caller
        rows = list(self._memory.rows.values())
        answers = Answers({**self._unrecorded.acked, **new.acked}, dict(new.removed))
        answers.removed |= self._unrecorded.removed
        epoch = (self.epoch, self._node, self._steps_ms)
        try:
            store.write(rows, answers.acked, answers.removed, epoch=epoch, acked_ms=self.mark_ms())
        except (sqlite3.Error, OSError) as error:
            self._file.fail(error)
            return False
        self._memory.rows.clear()
        self._upkeep.note_written(durable=any(row.lane is Lane.EVENT for row in rows))
        self._file.succeed()
        return True

    def _keep_answers(self, new: Answers) -> None:
        """Forget messages in memory that were answered; remember the answers to stored ones."""
        stored = new.without(self._memory.rows)
        for row_id in new.ids():
            self._memory.rows.pop(row_id, None)
        if self.path is not None:
            with self._lock:
                self._unrecorded.update(stored)

    def _refill(self) -> bool:
        """Hand over more of the messages that wait; return whether there were any."""
        with self._lock:
            generation = self._lanes.generation
            wanting = [(reader, reader.after_id) for reader in self._lanes.wanting()]
        for reader, after_id in wanting:
            try:
                rows = self._load(reader.lanes, after_id)
            except (sqlite3.Error, OSError, DamagedOutboxError) as error:
                self._file.fail(error)
                return False
            with self._lock:
                if self._lanes.generation != generation:
                    return False
                self._lanes.append(reader, rows, complete=len(rows) < PAGE_ROWS)
        return bool(wanting)

    def _load(self, lanes: Sequence[Lane], after_id: int) -> list[Row]:
        store = self._file.store
        if len(self._unrecorded) > MAX_UNRECORDED:
            store = None
        rows = [] if store is None else store.load(lanes, after_id, PAGE_ROWS)
        rows = [
            replace(row, epoch_steps_ms=None) if row.epoch == self.epoch else row for row in rows
        ]
        if self._memory.rows:
            rows += self._memory.load(lanes, after_id)
            rows.sort(key=lambda row: row.id)
        return rows[:PAGE_ROWS]

    def maintain(self) -> bool:
        """Synchronise with the disk, remove what is old or too much; return whether more is due."""
        store = self._file.store
        if store is None or not self._file.is_writable:
            oldest = next(iter(self._memory.rows.values()), None)
            self._upkeep.oldest_ms = None if oldest is None else oldest.stored_ms
            return False
        try:
            self._request_lost(store)
            self._upkeep.resend_from_s = self._send_lost_at_s
            return self._upkeep.run(store, self._handed, self._restart_lanes)
        except (sqlite3.Error, OSError) as error:
            self._file.fail(error)
            return False

    def _request_lost(self, store: OutboxStore) -> None:
        """Store the request that :meth:`send_again` made."""
        since_ms = self._lost_since_ms
        if since_ms is None:
            return
        count = store.resends.request_acknowledged(since_ms)
        with self._lock:
            if self._lost_since_ms == since_ms:
                self._lost_since_ms = None
        logger.info("outbox: %d messages that the broker may have lost are sent again", count)

    def close(self) -> None:
        """Store what can be stored, and close the database; count what is lost."""
        self._file.retry_at_once()
        self._write(opened=self._file.open())
        self._file.close()
        self._memory.drop("ended")

    def discard_unstored(self) -> None:
        """Drop what is not stored, because of an error that would happen again."""
        self._memory.drop("error")
