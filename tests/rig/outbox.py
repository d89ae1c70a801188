"""Outboxes with clocks and disks that tests control."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asd_monitor.outbox import file as file_module
from asd_monitor.outbox.database import open_outbox
from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.report import DropReason
from asd_monitor.outbox.rows import Draft, Lane, TopicKind
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.unstored import MemoryLimits
from tests.rig.mosquitto import wait_until

START_S = 1_800_000_000.0


def draft(number: int, lane: Lane = Lane.SCORE, machine: str = "pump") -> Draft:
    """Return a message as long as a real one, that says its number."""
    payload = b'{"schema":2,"ts":"2026-11-30T14:00:00.000Z","machine":"%b","number":%d}'
    topic: TopicKind = "event" if lane is Lane.EVENT else "score"
    return Draft(lane, topic, machine, payload % (machine.encode(), number))


@dataclass
class Clock:
    """The time of a test, by both clocks."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Report:
    """What an outbox has counted."""

    reasons: Counter[str] = field(default_factory=Counter)
    files_set_aside: int = 0

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        self.reasons[reason] += scores + events

    def set_aside(self) -> None:
        self.files_set_aside += 1


class Disk:
    """The disk below an outbox, which may be full: SQLite then fails as on a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._connection: sqlite3.Connection | None = None
        monkeypatch.setattr(file_module, "open_outbox", self._open)

    def _open(self, path: Path) -> sqlite3.Connection:
        self._connection = open_outbox(path)
        self._limit()
        return self._connection

    def fill(self, *, full: bool = True) -> None:
        """Leave no room for another page, or all of it again."""
        self.is_full = full
        self._limit()

    def _limit(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            limit = pages if self.is_full else 2**30
            connection.execute(f"PRAGMA max_page_count = {limit}").fetchone()
        except sqlite3.ProgrammingError:  # it has been closed
            return


def make_outbox(
    path: Path | None,
    report: Report | None = None,
    clock: Clock | None = None,
    *,
    max_mb: float = 500.0,
    memory: MemoryLimits | None = None,
    node: str = "plant",
) -> Outbox:
    """Return an outbox that is open."""
    clock = clock or Clock()
    settings = OutboxSettings.model_construct(max_mb=max_mb, replay_hours=1.0, replay_per_s=1e6)
    made = Outbox(
        path, settings, node, report or Report(), memory=memory, clock=clock, monotonic=clock
    )
    made.open()
    return made


def put(outbox: Outbox, *drafts: Draft) -> None:
    """Commit messages."""
    outbox.commit([(each, outbox.steps_ms) for each in drafts])


def send_all(outbox: Outbox, *, acknowledge: bool = True) -> list[tuple[str, int, int, bool]]:
    """Send everything that waits; return node, epoch, seq and whether it was late, in order."""
    sent: list[tuple[str, int, int, bool]] = []
    while True:
        found = outbox.next(max_replays=10_000, at_once=True)
        if found is None:
            outbox.commit([])
            found = outbox.next(max_replays=10_000, at_once=True)
            if found is None:
                return sent
        row, _, replayed = found
        sent.append((row.node, row.epoch, row.seq, replayed))
        if acknowledge:
            outbox.acknowledge(row)


def wait_for_disk(outbox: Outbox) -> None:
    """Wait until what was asked for is on the disk, or has failed."""
    store = outbox._file.store
    assert store is not None
    synchroniser = store.synchroniser
    assert synchroniser is not None
    wait_until(lambda: synchroniser.is_idle, "the disk")


def crash(outbox: Outbox) -> None:
    """End an outbox as a SIGKILL does: nothing more is written."""
    outbox._file._abandon()
    outbox._file._resources.close()
