"""The outbox: messages are committed, handed over to be sent, and marked when acknowledged."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.outbox.database import (
    DamagedOutboxError,
    NewerOutboxError,
    is_damage,
    open_outbox,
)
from asd_monitor.outbox.lanes import PAGE_ROWS, Lanes
from asd_monitor.outbox.rows import Draft, Lane, Row, first_id
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.store import OutboxStore
from asd_monitor.storage.database_files import set_aside

logger = logging.getLogger(__name__)

RETRY_S = 5.0
"""After a failure to write, messages are kept in memory for this long before the next attempt."""
DURABLE_INTERVAL_S = 5.0
"""Scores survive a power cut after this time at most, events at once."""
MAINTENANCE_INTERVAL_S = 1.0
CHECKPOINT_INTERVAL_S = 30.0
ACKS_PER_COMMIT = 100
"""This number of acknowledgements is committed without waiting for the next message."""

DropReason = Literal["full", "memory", "refused", "ended", "error"]
Write = tuple[list[int], list[int]]


class OutboxReport(Protocol):
    """Receives what is counted."""

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        """Count messages that will not be sent."""

    def set_aside(self) -> None:
        """Count a database that was set aside."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How many messages are kept in memory while they cannot be stored."""

    scores: int = 10_000
    events: int = 1000


class Outbox:
    """Messages between the monitor and a broker.

    A message is committed by :meth:`commit`, handed over by :meth:`next`, and ends with
    :meth:`acknowledge` or :meth:`refuse`; until then it is handed over again on each connection.
    What cannot be stored is kept in memory, up to a limit, and stored when that is possible again.

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
        self.path = path
        self.epoch = 0
        self._settings = settings
        self._node = node
        self._report = report
        self._limits = memory or MemoryLimits()
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the lanes and the next four
        self._lanes = Lanes(settings.replay_per_s)
        self._acked: list[int] = []
        self._removed: list[int] = []
        self._replays_in_flight: set[int] = set()
        self._steps_ms = 0
        self._committing: Write = ([], [])
        self._store: OutboxStore | None = None
        self._memory: dict[int, Row] = {}  # not stored yet, in order
        self._next_seq = 0
        self._retry_at_s = float("-inf")
        self._durable_at_s = self._maintained_at_s = self._checkpoint_at_s = float("-inf")
        self._unsynchronised = False
        self._problem = ""
        self._oldest_ms: int | None = None
        self._resources = ExitStack()
        self._is_locked = False
        self.size_bytes = 0
        """Size of the database."""

    # --- by any thread

    @property
    def is_degraded(self) -> bool:
        """Whether messages are kept in memory only, although they should be stored."""
        return self.path is not None and self._store is None

    @property
    def waiting_scores(self) -> int:
        """Number of scores that the broker has not acknowledged."""
        return self._count(Lane.SCORE) + self._count(Lane.ALARM_SCORE)

    @property
    def waiting_events(self) -> int:
        """Number of events that the broker has not acknowledged."""
        return self._count(Lane.EVENT)

    def _count(self, lane: Lane) -> int:
        store = self._store
        stored = 0 if store is None else store.waiting[lane]
        return stored + sum(row.lane is lane for row in list(self._memory.values()))

    def oldest_age_s(self) -> float:
        """Return how long the oldest message has waited; 0 if none waits."""
        oldest_ms = self._oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, self._clock() - oldest_ms / 1000)

    def connect(self) -> None:
        """Hand messages over from now on."""
        with self._lock:
            self._lanes.connect()

    def disconnect(self) -> None:
        """Hand everything over again that was not acknowledged, on the next connection."""
        with self._lock:
            done = {*self._acked, *self._removed, *self._committing[0], *self._committing[1]}
            self._lanes.disconnect(done)
            self._replays_in_flight.clear()

    def next(self, *, max_replays: int, at_once: bool = False) -> tuple[Row, bytes, bool] | None:
        """Return the message that is sent next, its payload, and whether it was sent late.

        Parameters
        ----------
        max_replays
            Messages of the backlog that may be unacknowledged at a time.
        at_once
            Send the backlog without a limit of its rate.
        """
        with self._lock:
            may_replay = len(self._replays_in_flight) < max_replays
            found = self._lanes.next(self._monotonic(), may_replay=may_replay, at_once=at_once)
            if found is None:
                return None
            row, replayed = found
            if replayed:
                self._replays_in_flight.add(row.id)
            return row, row.encode(replayed=replayed, steps_ms=self._steps_ms), replayed

    def due_in_s(self, max_replays: int) -> float:
        """Return the time until :meth:`next` may return something without a new message."""
        with self._lock:
            if len(self._replays_in_flight) >= max_replays:
                return float("inf")
            return self._lanes.due_in_s(self._monotonic())

    def needs_work(self) -> bool:
        """Return whether :meth:`commit` should be called although there are no new messages."""
        with self._lock:
            return bool(self._lanes.wanting()) or len(self._acked) >= ACKS_PER_COMMIT

    def acknowledge(self, row_id: int) -> None:
        """Note that the broker has a message."""
        with self._lock:
            self._acked.append(row_id)
            self._replays_in_flight.discard(row_id)

    def refuse(self, row: Row) -> None:
        """Note that a message cannot be sent, and count it as dropped."""
        with self._lock:
            self._removed.append(row.id)
            self._replays_in_flight.discard(row.id)
        is_event = row.lane is Lane.EVENT
        self._report.dropped("refused", int(not is_event), int(is_event))

    def shift_times(self, step_s: float) -> int:
        """Note that the clock was set; return the sum of all steps, in ms."""
        with self._lock:
            self._steps_ms += round(1000 * step_s)
            return self._steps_ms

    @property
    def steps_ms(self) -> int:
        """By how much the clock has been set since the start."""
        return self._steps_ms

    def is_flushed(self) -> bool:
        """Return whether nothing waits to be sent that would be lost at the end."""
        with self._lock:
            lanes = self._lanes
            if lanes.scores or lanes.events.queue:
                return False
            done = {*self._acked, *self._removed}
            return self._store is not None or all(row_id in done for row_id in list(self._memory))

    # --- by the thread that owns the database

    def open(self) -> None:
        """Open the database; one that cannot be opened is tried again later."""
        now_ms = round(1000 * self._clock())
        self._try_to_open(now_ms)
        if not self.epoch:
            self.epoch = now_ms

    def _try_to_open(self, now_ms: int) -> None:
        if self.path is None or self._monotonic() < self._retry_at_s:
            return
        for _attempt in range(2):  # again after a file was set aside
            try:
                self._hold_lock(self.path)
                store = OutboxStore(open_outbox(self.path))
                try:
                    if not self.epoch:
                        self.epoch = store.choose_epoch(now_ms)
                    epoch = (self.epoch, self._node, self._steps_ms)
                    store.write((), (), (), epoch=epoch, now_ms=now_ms)
                    self.size_bytes = store.size_bytes()
                except BaseException:
                    store.abandon()
                    raise
            except (sqlite3.Error, OSError, StateError) as error:
                if self._fail(error):
                    continue
                return
            self._store = store
            with self._lock:
                self._lanes.restart()
            return

    def _hold_lock(self, path: Path) -> None:
        """Exclude other monitors, which would send the same messages; resend may write."""
        if self._is_locked:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = f"{path}: another monitor (process {{holder}}) uses it; give each a state_dir"
        self._resources.enter_context(
            file_lock(path.with_name(f"{path.name}.lock"), StateError, taken)
        )
        self._is_locked = True

    def commit(self, drafts: list[tuple[Draft, int]]) -> None:
        """Store new messages and acknowledgements, then hand messages over.

        Parameters
        ----------
        drafts
            New messages, each with :attr:`steps_ms` at its time.
        """
        now_ms = round(1000 * self._clock())
        new = [self._to_row(draft, steps_ms, now_ms) for draft, steps_ms in drafts]
        self._memory.update((row.id, row) for row in new)
        if self._store is None:
            self._try_to_open(now_ms)
        self._write(now_ms)
        with self._lock:
            for row in new:
                if row.id in self._memory or self._store is not None:
                    self._lanes.offer(row)
        self._refill()

    def _to_row(self, draft: Draft, steps_ms: int, now_ms: int) -> Row:
        row_id = first_id(self.epoch) + self._next_seq
        self._next_seq += 1
        return Row(
            row_id, self.epoch, self._node, draft.lane, draft.topic, draft.machine, draft.payload,
            now_ms, steps_ms,
        )  # fmt: skip

    def _write(self, now_ms: int) -> None:
        """Commit what is new and what was acknowledged; in memory only if that fails."""
        with self._lock:
            acked, removed = self._committing = self._acked, self._removed
            self._acked, self._removed = [], []
            epoch = (self.epoch, self._node, self._steps_ms)
        in_memory = [row_id for row_id in (*acked, *removed) if row_id in self._memory]
        rest = [[each for each in ids if each not in self._memory] for ids in (acked, removed)]
        store = self._store
        try:
            if store is not None and (self._memory or rest[0] or rest[1]):
                rows = list(self._memory.values())
                durable = any(row.lane is Lane.EVENT for row in rows)
                store.write(rows, acked, removed, epoch=epoch, now_ms=now_ms)
                self._memory.clear()
                self._unsynchronised = True
                if durable:
                    self._durable_at_s = float("-inf")
            if store is not None or self.path is None:
                rest = [[], []]
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
        else:
            if store is not None:
                self._succeed()
        if self._store is None:
            for row_id in in_memory:
                self._memory.pop(row_id, None)
            self._trim_memory()
        with self._lock:
            still = {*rest[0], *rest[1]}
            self._acked[:0], self._removed[:0] = rest
            self._lanes.handed.difference_update({*acked, *removed} - still)
            self._committing = ([], [])

    def _trim_memory(self) -> None:
        """Drop the oldest messages beyond the limits, but none that is being sent."""
        for lanes, limit in (
            ((Lane.SCORE, Lane.ALARM_SCORE), self._limits.scores),
            ((Lane.EVENT,), self._limits.events),
        ):
            ids = [row.id for row in self._memory.values() if row.lane in lanes]
            if len(ids) <= limit:
                continue
            with self._lock:
                idle = [row_id for row_id in ids if row_id not in self._lanes.handed]
            dropped = idle[: len(ids) - limit]
            for row_id in dropped:
                del self._memory[row_id]
            is_event = Lane.EVENT in lanes
            self._report.dropped(
                "memory", 0 if is_event else len(dropped), len(dropped) if is_event else 0
            )

    def _refill(self) -> None:
        """Hand over more of the messages that wait."""
        with self._lock:
            generation = self._lanes.generation
            wanting = [(reader, reader.after_id) for reader in self._lanes.wanting()]
        for reader, after_id in wanting:
            try:
                rows = self._load(reader.lanes, after_id)
            except (sqlite3.Error, OSError, DamagedOutboxError) as error:
                self._fail(error)
                return
            with self._lock:
                if self._lanes.generation != generation:
                    return
                self._lanes.append(reader, rows, complete=len(rows) < PAGE_ROWS)

    def _load(self, lanes: Sequence[Lane], after_id: int) -> list[Row]:
        store = self._store
        rows = [] if store is None else store.load(lanes, after_id, PAGE_ROWS)
        rows = [
            replace(row, epoch_steps_ms=None) if row.epoch == self.epoch else row for row in rows
        ]
        if self._memory:
            waiting = (row for row in self._memory.values() if row.lane in lanes)
            rows += [row for row in waiting if row.id > after_id]
            rows.sort(key=lambda row: row.id)
        return rows[:PAGE_ROWS]

    def maintain(self) -> bool:
        """Synchronise with the disk, remove what is old or too much; return whether more is due."""
        now_s, store = self._monotonic(), self._store
        if store is None:
            self._oldest_ms = next((row.stored_ms for row in self._memory.values()), None)
            return False
        try:
            if self._unsynchronised and now_s - self._durable_at_s >= DURABLE_INTERVAL_S:
                store.synchronise()
                self._durable_at_s, self._unsynchronised = now_s, False
            if now_s - self._maintained_at_s < MAINTENANCE_INTERVAL_S:
                return False
            busy = self._remove_old(store)
            if store.resend_step():
                busy = True
                with self._lock:
                    self._lanes.restart()
            if now_s - self._checkpoint_at_s >= CHECKPOINT_INTERVAL_S:
                self._checkpoint_at_s = now_s
                store.tidy()
                store.checkpoint()
            self._oldest_ms = store.oldest_waiting_ms()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        if not busy:
            self._maintained_at_s = now_s
        return busy

    def _remove_old(self, store: OutboxStore) -> bool:
        before_ms = round(1000 * self._clock() - 3_600_000 * self._settings.replay_hours)
        busy = store.expire(before_ms) > 0
        self.size_bytes = store.size_bytes()
        if self.size_bytes > 1e6 * self._settings.max_mb:
            with self._lock:
                handed = set(self._lanes.handed)
            removed, dropped = store.trim(handed)
            if dropped:
                self._report.dropped("full", dropped, 0)
            busy = busy or removed
        return busy

    def close(self) -> None:
        """Store what can be stored, and close the database; count what is lost."""
        self._retry_at_s = float("-inf")
        now_ms = round(1000 * self._clock())
        if self._store is None:
            self._try_to_open(now_ms)
        self._write(now_ms)
        store, self._store = self._store, None
        if store is not None:
            try:
                store.synchronise()
            except sqlite3.Error as error:
                logger.warning("outbox: the end could not be written: %s", error)
            store.close()
        self._drop_memory("ended")
        self._resources.close()
        self._is_locked = False

    def discard_unstored(self) -> None:
        """Drop what is not stored, because of an error that would happen again."""
        self._drop_memory("error")

    def _drop_memory(self, reason: DropReason) -> None:
        events = sum(row.lane is Lane.EVENT for row in self._memory.values())
        scores = len(self._memory) - events
        self._memory.clear()
        if scores or events:
            self._report.dropped(reason, scores, events)

    def _fail(self, error: Exception) -> bool:
        """Continue in memory; return whether to try again at once, as after damage."""
        store, self._store = self._store, None
        if store is not None:
            store.abandon()
        newer = isinstance(error, NewerOutboxError)
        unusable = newer or is_damage(error)
        if unusable and self._set_aside(error, "newer" if newer else "damaged"):
            self._retry_at_s = float("-inf")
            return True
        self._retry_at_s = self._monotonic() + RETRY_S
        if str(error) != self._problem:
            self._problem = str(error)
            logger.warning(
                "outbox: messages are kept in memory only, because they cannot be stored: %s", error
            )
        return False

    def _set_aside(self, error: Exception, why: str) -> bool:
        assert self.path is not None  # noqa: S101 - there was a database
        try:
            aside = set_aside(self.path, why)
        except OSError as failure:
            logger.warning("outbox: %s cannot be renamed: %s", self.path, failure)
            return False
        self._report.set_aside()
        logger.warning("outbox: %s; the file is now %s", error, aside.name)
        return True

    def _succeed(self) -> None:
        if self._problem:
            logger.info("outbox: messages are stored again in %s", self.path)
        self._problem = ""
