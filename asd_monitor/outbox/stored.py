"""Read and change an outbox from another process than the monitor."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.outbox.database import (
    BUSY_TIMEOUT_S,
    is_damage,
    open_outbox,
    open_to_read,
)
from asd_monitor.outbox.rows import Lane
from asd_monitor.storage.database_schema import read_version

_MADE_MS = (
    "stored_ms + coalesce((SELECT steps_ms FROM epoch WHERE epoch = message.epoch), 0) - steps_ms"
)
"""When a message was made, by the clock as it was set later."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Messages of an outbox."""

    scores: int
    events: int
    oldest_ms: int | None
    """When the oldest was made."""


def request_resend(path: Path, since_ms: int, machine: str = "") -> Selection:
    """Let the monitor send messages again that the broker has acknowledged; return which.

    Parameters
    ----------
    path
        The outbox.
    since_ms
        Messages made from this time on, in ms since the epoch.
    machine
        Only those of this machine; empty: of all.

    Raises
    ------
    StateError
        If there is no outbox, or it cannot be read or written.
    """
    where = f"acked_ms IS NOT NULL AND {_MADE_MS} >= ? AND ? IN ('', machine)"
    with _opened(path, write=True) as connection:
        found = _select(connection, where, (since_ms, machine))
        if found.scores or found.events:
            first_id, last_id = connection.execute(
                f"SELECT min(id), max(id) FROM message WHERE {where}",  # noqa: S608 - own names
                (since_ms, machine),
            ).fetchone()
            connection.execute(
                "INSERT INTO resend (since_ms, machine, next_id, last_id) VALUES (?, ?, ?, ?)",
                (since_ms, machine, first_id, last_id),
            )
    return found


def count_waiting(path: Path) -> Selection:
    """Return the messages that the broker has not acknowledged; raise StateError like above."""
    with _opened(path, write=False) as connection:
        return _select(connection, "acked_ms IS NULL", ())


def machines(path: Path) -> list[str]:
    """Return the machines of which an outbox has messages; raise StateError like above."""
    with _opened(path, write=False) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT machine FROM template")]


def count_of(path: Path, machine: str, before_ms: int) -> int:
    """Return the number of messages of a machine that were stored before a time."""
    if not path.exists():
        return 0
    with _opened(path, write=False) as connection:
        sql = "SELECT count(*) FROM message WHERE machine = ? AND stored_ms < ?"
        return int(connection.execute(sql, (machine, before_ms)).fetchone()[0])


def delete_of(path: Path, machine: str, before_ms: int) -> int:
    """Delete the messages of a machine that were stored before a time, also those that wait."""
    if not path.exists():
        return 0
    with _opened(path, write=True) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        sql = "DELETE FROM message WHERE machine = ? AND stored_ms < ?"
        deleted = connection.execute(sql, (machine, before_ms)).rowcount
        connection.execute(
            "DELETE FROM template WHERE machine = ? "
            "AND id NOT IN (SELECT template FROM message WHERE machine = ?)",
            (machine, machine),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return deleted


def _select(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> Selection:
    rows = connection.execute(
        f"SELECT lane, count(*), min({_MADE_MS}) FROM message WHERE {where} GROUP BY lane",  # noqa: S608
        values,
    ).fetchall()
    counts = {Lane(row[0]): row[1] for row in rows}
    events = counts.get(Lane.EVENT, 0)
    oldest_ms = min((row[2] for row in rows), default=None)
    return Selection(sum(counts.values()) - events, events, oldest_ms)


@contextmanager
def _opened(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    """Open an outbox that exists, and explain errors."""
    missing = (
        f"{path}: there is no outbox yet; it begins when `asd-monitor run` starts with MQTT "
        "(another folder: --state-dir)"
    )
    if not path.exists():
        raise StateError(missing)
    try:
        opened = open_outbox(path) if write else open_to_read(path)
        with closing(opened) as connection:
            if not read_version(connection):  # a monitor is about to create the tables
                raise StateError(missing)
            yield connection
    except sqlite3.Error as error:
        if is_damage(error):
            msg = f"{path}: the outbox is damaged: {error}"
        else:
            msg = (
                f"{path}: the outbox cannot be used ({error}); run this as the user of the "
                f"monitor, or again later (it was tried for {BUSY_TIMEOUT_S:g} s)"
            )
        raise StateError(msg) from error
