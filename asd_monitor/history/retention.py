"""Remove old scores, by age and by the size of the database, a little at a time."""

import sqlite3

from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.summaries import HOUR_MS

DAY_MS = 24 * HOUR_MS
SLICE_MS = {"score": HOUR_MS, "score_minute": 30 * DAY_MS, "score_hour": 30 * DAY_MS}
"""Time span removed at most per machine and step, so that a step is short."""
VACUUM_PAGES = 1000


class Retention:
    """Remove what is older than the settings allow, and the oldest scores of a full database.

    Events and notes are never removed.

    Parameters
    ----------
    connection
        The database, open for writing.
    settings
        How much is kept.
    """

    def __init__(self, connection: sqlite3.Connection, settings: HistorySettings) -> None:
        self._connection = connection
        self._settings = settings

    def step(self, now_ms: int) -> int:
        """Remove a little of what is too old or too much; return the number of rows removed."""
        scores_before = now_ms - round(self._settings.scores_days * DAY_MS)
        minutes_before = now_ms - round(self._settings.minutes_days * DAY_MS)
        removed = self._remove("score", "at_ms", scores_before)
        removed += self._remove("score_minute", "start_ms", minutes_before)
        removed += self._remove("score_hour", "start_ms", minutes_before)
        removed += self._remove_spans("state_span", minutes_before)
        removed += self._remove_spans("mode_span", minutes_before)
        if self.size_bytes() > self._settings.max_mb * 1e6:
            removed += self._remove_oldest()
        # execute() would free one page only: it ends at the first row, and these have no columns
        self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return removed

    def size_bytes(self) -> int:
        """Return the size of what is stored, without free pages."""
        pages, free, page_bytes = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    def _remove(self, table: str, column: str, before_ms: int) -> int:
        """Remove rows older than a time, at most a slice of each machine."""
        removed = 0
        for machine_id, oldest_ms in self._oldest(table, column):
            if oldest_ms < before_ms:
                end_ms = min(before_ms, oldest_ms + SLICE_MS[table])
                removed += self._remove_until(table, column, machine_id, end_ms)
        return removed

    def _remove_oldest(self) -> int:
        """Remove the oldest slice of the machine whose scores begin first."""
        for table, column in (("score", "at_ms"), ("score_minute", "start_ms")):
            oldest = self._oldest(table, column)
            if not oldest:
                continue
            first_ms = min(oldest_ms for _, oldest_ms in oldest)
            end_ms = first_ms + SLICE_MS[table]
            return sum(
                self._remove_until(table, column, machine_id, end_ms) for machine_id, _ in oldest
            )
        return 0

    def _oldest(self, table: str, column: str) -> list[tuple[int, int]]:
        """Return the machines that have rows, with the time of the oldest."""
        rows = self._connection.execute(
            f"SELECT id, (SELECT min({column}) FROM {table} WHERE machine_id = machine.id) "  # noqa: S608 - own names
            "FROM machine"
        )
        return [(row[0], row[1]) for row in rows.fetchall() if row[1] is not None]

    def _remove_until(self, table: str, column: str, machine_id: int, end_ms: int) -> int:
        cursor = self._connection.execute(
            f"DELETE FROM {table} WHERE machine_id = ? AND {column} < ?",  # noqa: S608 - own names
            (machine_id, end_ms),
        )
        return cursor.rowcount

    def _remove_spans(self, table: str, before_ms: int) -> int:
        cursor = self._connection.execute(
            f"DELETE FROM {table} WHERE id IN "  # noqa: S608 - own names
            f"(SELECT id FROM {table} WHERE to_ms < ? ORDER BY id LIMIT 1000)",
            (before_ms,),
        )
        return cursor.rowcount
