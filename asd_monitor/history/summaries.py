"""Summaries of the scores of each minute and each hour, derived from what is stored."""

import sqlite3
from collections.abc import Iterable
from statistics import fmean, median
from typing import Any

from asd_monitor.history.codes import QUALITY_CODES, STATE_CODES
from asd_monitor.records import SCORED_QUALITIES, State

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
COMPLETE_AFTER_MS = 2000
"""A minute is summarised this long after its end, if no newer window ends it before."""

COLUMNS = (
    "machine_id, start_ms, windows, scored, lowest, median, highest, over, level_dbfs, "
    "worst_state, lost_samples, limits_id"
)
_INSERT = "INSERT OR REPLACE INTO {} ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OFF = STATE_CODES[State.OFF]
_SCORED = tuple(QUALITY_CODES[quality] for quality in SCORED_QUALITIES)


class Summaries:
    """Keep the tables ``score_minute`` and ``score_hour`` in step with ``score``.

    A minute is computed from its stored scores, however often it changes: after a restart, or
    after the clock was set back, it is simply computed again.

    Parameters
    ----------
    connection
        The database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed = set[tuple[int, int]]()
        self._newest: dict[int, int] = {}

    def resume(self, machine_id: int) -> None:
        """Find minutes of a machine that an interrupted run has left without a summary."""
        last = self._value(
            "SELECT max(start_ms) FROM score_minute WHERE machine_id = ?", machine_id
        )
        rows = self._connection.execute(
            "SELECT DISTINCT at_ms / ? FROM score WHERE machine_id = ? AND at_ms >= ?",
            (MINUTE_MS, machine_id, -(2**62) if last is None else last),
        )
        self._changed.update((machine_id, minute * MINUTE_MS) for (minute,) in rows.fetchall())

    def add(self, machine_id: int, at_ms: int) -> None:
        """Note that the minute of a new score has changed."""
        minute_ms = at_ms // MINUTE_MS * MINUTE_MS
        self._changed.add((machine_id, minute_ms))
        self._newest[machine_id] = minute_ms

    def update(self, now_ms: int | None) -> int:
        """Summarise minutes that are complete; return their number.

        Parameters
        ----------
        now_ms
            The present time; None: all minutes, complete or not.
        """
        done = [
            (machine_id, minute_ms)
            for machine_id, minute_ms in self._changed
            if now_ms is None
            or minute_ms != self._newest.get(machine_id)
            or minute_ms + MINUTE_MS + COMPLETE_AFTER_MS <= now_ms
        ]
        for machine_id, minute_ms in done:
            self._summarise_minute(machine_id, minute_ms)
        for machine_id, hour_ms in {(key, ms // HOUR_MS * HOUR_MS) for key, ms in done}:
            self._summarise_hour(machine_id, hour_ms)
        self._changed.difference_update(done)
        return len(done)

    def _summarise_minute(self, machine_id: int, start_ms: int) -> None:
        rows = self._fetch(
            "SELECT value, level_dbfs, state, lost_samples, limits_id, quality, threshold "
            "FROM score LEFT JOIN limits ON limits.id = limits_id "
            "WHERE score.machine_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms",
            (machine_id, start_ms, start_ms + MINUTE_MS),
        )
        if not rows:
            return
        values = [row[0] for row in rows if row[0] is not None and row[5] in _SCORED]
        over = sum(
            row[0] is not None and row[6] is not None and row[0] > row[6] and row[2] != _OFF
            for row in rows
        )
        summary = (
            len(rows),
            len(values),
            min(values, default=None),
            median(values) if values else None,
            max(values, default=None),
            over,
            _mean(row[1] for row in rows),
            max(row[2] for row in rows),
            sum(row[3] for row in rows),
            rows[-1][4],
        )
        self._replace("score_minute", (machine_id, start_ms, *summary))

    def _summarise_hour(self, machine_id: int, start_ms: int) -> None:
        rows = self._fetch(
            "SELECT * FROM score_minute "
            "WHERE machine_id = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms",
            (machine_id, start_ms, start_ms + HOUR_MS),
        )
        if not rows:
            return
        medians = [row[5] for row in rows if row[5] is not None]
        summary = (
            sum(row[2] for row in rows),
            sum(row[3] for row in rows),
            min((row[4] for row in rows if row[4] is not None), default=None),
            fmean(medians) if medians else None,
            max((row[6] for row in rows if row[6] is not None), default=None),
            sum(row[7] for row in rows),
            _mean(row[8] for row in rows),
            max(row[9] for row in rows),
            sum(row[10] for row in rows),
            rows[-1][11],
        )
        self._replace("score_hour", (machine_id, start_ms, *summary))

    def _fetch(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, values).fetchall()

    def _value(self, sql: str, *values: object) -> int | None:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def _replace(self, table: str, row: tuple[object, ...]) -> None:
        self._connection.execute(_INSERT.format(table, COLUMNS), row)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
