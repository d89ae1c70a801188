"""Requests to send messages again that the broker has acknowledged; used by one thread."""

import sqlite3

from asd_monitor.outbox.database import transaction
from asd_monitor.outbox.rows import Lane

STEP_ROWS = 2000
MAX_MERGED_MS = 3_600_000
"""A broker that crashes again and again does not let requests grow without limit."""


class Resends:
    """The requests in the database, which are worked through step by step.

    Parameters
    ----------
    connection
        The database.
    waiting
        Number of waiting messages by lane; this object adds to it.
    """

    def __init__(self, connection: sqlite3.Connection, waiting: dict[Lane, int]) -> None:
        self._connection = connection
        self._waiting = waiting

    def request_acknowledged(self, since_ms: int) -> int:
        """Request all messages that were acknowledged since a time; return how many there are.

        A former request of this kind that has not been worked through is included, up to an hour.

        Raises
        ------
        sqlite3.Error
            If the request could not be written.
        """
        former_ms = self._connection.execute(
            "SELECT min(acked_since_ms) FROM resend WHERE acked_since_ms > 0"
        ).fetchone()[0]
        if former_ms is not None:
            since_ms = max(min(since_ms, former_ms), since_ms - MAX_MERGED_MS)
        count, first_id, last_id = self._connection.execute(
            "SELECT count(*), min(id), max(id) FROM message WHERE acked_ms >= ?", (since_ms,)
        ).fetchone()
        with transaction(self._connection):
            self._connection.execute("DELETE FROM resend WHERE acked_since_ms > 0")
            if count:
                self._connection.execute(
                    "INSERT INTO resend (since_ms, machine, next_id, last_id, acked_since_ms) "
                    "VALUES (0, '', ?, ?, ?)",
                    (first_id, last_id, since_ms),
                )
        return int(count)

    def step(self) -> bool:
        """Let some of the messages of a request wait; return whether any may be left.

        Raises
        ------
        sqlite3.Error
            If nothing could be written.
        """
        request = self._connection.execute(
            "SELECT id, since_ms, machine, next_id, last_id, acked_since_ms FROM resend "
            "ORDER BY id LIMIT 1"
        ).fetchone()
        if request is None:
            return False
        request_id, since_ms, machine, next_id, last_id, acked_since_ms = request
        rows = self._connection.execute(
            "SELECT id, stored_ms + epoch.steps_ms - message.steps_ms, machine, lane, acked_ms "
            "FROM message JOIN epoch USING (epoch) WHERE acked_ms IS NOT NULL "
            "AND id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (next_id, last_id, STEP_ROWS),
        ).fetchall()
        chosen = [
            row
            for row in rows
            if row[1] >= since_ms and machine in ("", row[2]) and row[4] >= acked_since_ms
        ]
        with transaction(self._connection):
            self._connection.executemany(
                "UPDATE message SET acked_ms = NULL WHERE id = ?", [(row[0],) for row in chosen]
            )
            if len(rows) < STEP_ROWS:
                self._connection.execute("DELETE FROM resend WHERE id = ?", (request_id,))
            else:
                self._connection.execute(
                    "UPDATE resend SET next_id = ? WHERE id = ?", (rows[-1][0] + 1, request_id)
                )
        for row in chosen:
            self._waiting[Lane(row[3])] += 1
        return True
