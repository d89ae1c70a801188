"""The tables of the outbox; used by one thread."""

import sqlite3
import zlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from asd_monitor.outbox.database import DamagedOutboxError, transaction
from asd_monitor.outbox.resends import Resends
from asd_monitor.outbox.rows import Lane, Row, compress, decompress, next_epoch
from asd_monitor.outbox.synchroniser import Synchroniser

TRIM_ROWS = 500
VACUUM_PAGES = 500
_SELECT = (
    "SELECT message.id, message.epoch, epoch.node, lane, topic, machine, message.payload, "
    "stored_ms, message.steps_ms, epoch.steps_ms, template FROM message JOIN epoch USING (epoch) "
)


class OutboxStore:
    """Messages in the database, those that wait and those that are kept after they were sent.

    Parameters
    ----------
    connection
        As :mod:`~asd_monitor.outbox.database` opens it.
    synchroniser
        Of the same database; None for one that is only read, of which other processes are excluded.
    """

    def __init__(
        self, connection: sqlite3.Connection, synchroniser: Synchroniser | None = None
    ) -> None:
        self.synchroniser = synchroniser
        self._connection = connection
        self._epoch: tuple[int, str, int] | None = None
        self._templates: dict[tuple[int, str, str], int] = {}
        self._template_payloads: dict[int, bytes] = {}
        counts = connection.execute(
            "SELECT lane, count(*) FROM message WHERE acked_ms IS NULL GROUP BY lane"
        )
        self.waiting = {**dict.fromkeys(Lane, 0), **{Lane(lane): n for lane, n in counts}}
        """Number of messages that the broker has not acknowledged, by lane."""
        self.resends = Resends(connection, self.waiting)

    def close(self) -> None:
        """Empty the log and close the database."""
        self._stop_synchroniser()
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()

    def abandon(self) -> None:
        """Close the database as it is."""
        self._stop_synchroniser()
        self._connection.close()

    def _stop_synchroniser(self) -> None:
        if self.synchroniser is not None:
            self.synchroniser.close()

    def last_acked_ms(self) -> int:
        """Return when the newest of the acknowledged messages was acknowledged; 0 without any."""
        sql = "SELECT acked_ms FROM message WHERE acked_ms IS NOT NULL ORDER BY id DESC LIMIT 1"
        row = self._connection.execute(sql).fetchone()
        return 0 if row is None else int(row[0])

    def choose_epoch(self, now_ms: int) -> int:
        """Return an epoch for this start that is higher than all before."""
        last_epoch = self._connection.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0
        last_id = self._connection.execute("SELECT max(id) FROM message").fetchone()[0] or 0
        return next_epoch(last_epoch, last_id, now_ms)

    def write(
        self,
        rows: Sequence[Row],
        acked: Collection[int],
        removed: Collection[int],
        *,
        epoch: tuple[int, str, int],
        acked_ms: int,
    ) -> None:
        """Add messages, mark those that were acknowledged, and remove others; all or nothing.

        Parameters
        ----------
        rows
            New messages.
        acked, removed
            Ids of messages that need not be sent any more: to be kept, or to be deleted.
        epoch
            The present epoch, its node, and by how much the clock has been set in it, in ms.
        acked_ms
            Time of the acknowledgements.

        Raises
        ------
        sqlite3.Error
            If nothing could be written.
        """
        before, templates = dict(self.waiting), dict(self._templates)
        try:
            with transaction(self._connection):
                if epoch != self._epoch:
                    self._connection.execute(
                        "INSERT INTO epoch VALUES (?, ?, ?) ON CONFLICT (epoch) DO UPDATE SET "
                        "steps_ms = excluded.steps_ms",
                        epoch,
                    )
                for row in rows:
                    self._insert(row)
                self._mark("UPDATE message SET acked_ms = ?2 WHERE id = ?1", acked, acked_ms)
                self._mark(
                    "DELETE FROM message WHERE id = ?1 AND ?2 IS NOT NULL", removed, acked_ms
                )
        except BaseException:
            self.waiting.update(before)
            self._templates = templates
            raise
        self._epoch = epoch

    def _insert(self, row: Row) -> None:
        key = row.epoch, row.machine, row.topic
        template = self._templates.get(key)
        if template is None:
            cursor = self._connection.execute(
                "INSERT INTO template (epoch, machine, payload) VALUES (?, ?, ?)",
                (row.epoch, row.machine, row.payload),
            )
            template = self._templates[key] = cursor.lastrowid or 0
            self._template_payloads[template] = row.payload
        payload = compress(row.payload, self._template_payloads[template])
        self._connection.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                row.id,
                row.epoch,
                row.lane,
                row.topic,
                row.machine,
                row.stored_ms,
                row.steps_ms,
                template,
                payload,
            ),
        )
        self.waiting[row.lane] += 1

    def _mark(self, sql: str, ids: Iterable[int], acked_ms: int) -> None:
        """Run a statement for waiting messages, and count them as no longer waiting."""
        for message_id in ids:
            row = self._connection.execute(
                f"{sql} AND acked_ms IS NULL RETURNING lane", (message_id, acked_ms)
            ).fetchone()
            if row is not None:
                self.waiting[Lane(row[0])] -= 1

    def checkpoint(self) -> None:
        """Move what is left in the log to the database, which keeps the log short."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def load(self, lanes: Sequence[Lane], after_id: int, limit: int) -> list[Row]:
        """Return waiting messages of these lanes with a higher id, in their order.

        Raises
        ------
        DamagedOutboxError
            If a payload cannot be read.
        sqlite3.Error
            If the database cannot be read.
        """
        one_lane = (
            "SELECT * FROM (SELECT id FROM message WHERE acked_ms IS NULL AND lane = ? "
            "AND id > ? ORDER BY id LIMIT ?)"
        )
        ids = " UNION ALL ".join([one_lane] * len(lanes))
        values = [value for lane in lanes for value in (int(lane), after_id, limit)]
        sql = f"{_SELECT} WHERE message.id IN ({ids}) ORDER BY message.id LIMIT {limit:d}"
        return [self._to_row(row) for row in self._connection.execute(sql, values).fetchall()]

    def _to_row(self, row: Sequence[object]) -> Row:
        *members, template = row
        row_id, epoch, node, lane, topic, machine, data, stored_ms, steps_ms, epoch_steps = members
        try:
            payload = decompress(bytes(data), self._template(template))  # type: ignore[call-overload]
        except (zlib.error, KeyError, TypeError) as error:
            msg = f"message {row_id} of the outbox cannot be read: {error}"
            raise DamagedOutboxError(msg) from error
        return Row(
            row_id, epoch, node, Lane(lane), topic, machine, payload,  # type: ignore[arg-type]
            stored_ms, steps_ms, epoch_steps,  # type: ignore[arg-type]
        )  # fmt: skip

    def _template(self, template: object) -> bytes:
        assert isinstance(template, int)  # noqa: S101 - the column's type
        if template not in self._template_payloads:
            found = self._connection.execute(
                "SELECT payload FROM template WHERE id = ?", (template,)
            ).fetchone()
            if found is None:
                raise KeyError(f"there is no template {template}")
            self._template_payloads[template] = bytes(found[0])
        return self._template_payloads[template]

    def oldest_waiting_ms(self) -> int | None:
        """Return when the oldest waiting message was stored; None if none waits."""
        sql = (
            "SELECT stored_ms FROM message WHERE acked_ms IS NULL AND lane = ? ORDER BY id LIMIT 1"
        )
        found = [self._connection.execute(sql, (int(lane),)).fetchone() for lane in Lane]
        return min((row[0] for row in found if row is not None), default=None)

    def size_bytes(self) -> int:
        """Return the size of what is stored, without free pages."""
        pages, free, page_bytes = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    def expire(self, before_ms: int) -> int:
        """Remove some of the messages that were acknowledged before a time; return how many."""
        return self._remove(
            "SELECT id FROM (SELECT id, acked_ms FROM message WHERE acked_ms IS NOT NULL "
            "ORDER BY id LIMIT ?) WHERE acked_ms < ?",
            (TRIM_ROWS, before_ms),
        )

    def trim(self, kept_ids: Collection[int]) -> tuple[bool, int]:
        """Remove some messages, so that the database becomes smaller.

        Messages that were acknowledged go first, then the oldest scores, then those of warnings
        and alarms; events are kept.

        Parameters
        ----------
        kept_ids
            Messages that are being sent.

        Returns
        -------
        tuple[bool, int]
            Whether anything was removed, and the number of scores that had not been sent.
        """
        sent = "SELECT id FROM message WHERE acked_ms IS NOT NULL ORDER BY id LIMIT ?"
        if self._remove(sent, (TRIM_ROWS,)):
            return True, 0
        for lane in (Lane.SCORE, Lane.ALARM_SCORE):
            found = self._connection.execute(
                "SELECT id FROM message WHERE acked_ms IS NULL AND lane = ? ORDER BY id LIMIT ?",
                (int(lane), TRIM_ROWS + len(kept_ids)),
            ).fetchall()
            ids = [row[0] for row in found if row[0] not in kept_ids][:TRIM_ROWS]
            if ids:
                with transaction(self._connection):
                    self._connection.executemany(
                        "DELETE FROM message WHERE id = ?", [(message_id,) for message_id in ids]
                    )
                self.waiting[lane] -= len(ids)
                return True, len(ids)
        return False, 0

    def _remove(self, select_ids: str, values: Sequence[int]) -> int:
        sql = f"DELETE FROM message WHERE id IN ({select_ids})"  # noqa: S608 - own statements
        return self._connection.execute(sql, values).rowcount

    def tidy(self) -> None:
        """Remove what no message refers to any more, and return free pages to the disk."""
        row = self._connection.execute("SELECT epoch FROM message ORDER BY id LIMIT 1").fetchone()
        if row is not None:
            self._connection.execute("DELETE FROM template WHERE epoch < ?", (row[0],))
            self._connection.execute("DELETE FROM epoch WHERE epoch < ?", (row[0],))
        # execute() would free one page only: it ends at the first row, and these have no columns
        self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
