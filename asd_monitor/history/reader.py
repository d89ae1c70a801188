"""Read the history, while a monitor writes it or when none runs."""

import sqlite3
from pathlib import Path
from typing import Any

from asd_monitor.history.codes import to_ms, to_s
from asd_monitor.history.read_connections import ReadConnections
from asd_monitor.history.records import (
    AuditEntry,
    Event,
    EventNote,
    MachineOverview,
    MinuteRow,
    ModelRow,
    ModeSpan,
    ScoreRow,
    Shelf,
    StateSpan,
)
from asd_monitor.history.rows import (
    to_audit_entry,
    to_event,
    to_minute,
    to_mode_span,
    to_model,
    to_note,
    to_score,
    to_shelf,
    to_span,
)
from asd_monitor.history.summaries import HOUR_MS, MINUTE_MS
from asd_monitor.history.times import sum_times
from asd_monitor.records import State

MAX_EVENTS = 200

_EVENT = """
SELECT event.*, machine.name AS machine,
    (SELECT kind FROM event_note WHERE event_id = event.id
        AND kind IN ('normal', 'fault', 'unsure') ORDER BY id DESC LIMIT 1) AS verdict,
    EXISTS (SELECT 1 FROM event_note WHERE event_id = event.id AND kind = 'ack') AS acknowledged
FROM event JOIN machine ON machine.id = event.machine_id
"""
_UNACKNOWLEDGED = """
NOT EXISTS (SELECT 1 FROM event_note WHERE event_id = event.id
    AND kind IN ('ack', 'normal', 'fault', 'unsure'))
"""

_SUMMARIES = """
WITH bucket AS (
    SELECT :from + (start_ms - :from) / :length * :length AS start_ms, max(start_ms) AS newest_ms,
        sum(windows) AS windows, sum(scored) AS scored, min(lowest) AS lowest,
        avg(median) AS median, max(highest) AS highest, sum(over) AS over,
        avg(level_dbfs) AS level_dbfs, max(worst_state) AS worst_state,
        sum(lost_samples) AS lost_samples, machine_id
    FROM {table}
    WHERE machine_id = (SELECT id FROM machine WHERE name = :machine)
        AND start_ms >= :from AND start_ms < :to
    GROUP BY 1
)
SELECT bucket.*, threshold, normal_range
FROM bucket
JOIN {table} AS newest
    ON newest.machine_id = bucket.machine_id AND newest.start_ms = bucket.newest_ms
LEFT JOIN limits ON limits.id = newest.limits_id
ORDER BY bucket.start_ms
"""


class HistoryReader:
    """Read-only access to a history, from any thread.

    Parameters
    ----------
    path
        The database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections = ReadConnections(path)

    def machines(self) -> list[str]:
        """Return the names of the machines that have a history."""
        return [
            row["name"] for row in self._connections.rows("SELECT name FROM machine ORDER BY name")
        ]

    def display_names(self) -> dict[str, str]:
        """Return the display name of each machine that has a history, by its id."""
        rows = self._connections.rows("SELECT name, display FROM machine ORDER BY name")
        return {row["name"]: row["display"] or row["name"] for row in rows}

    def scores(
        self, machine: str, from_s: float, to_s: float, max_points: int | None = None
    ) -> list[ScoreRow]:
        """Return the scores of windows in a time, oldest first.

        Parameters
        ----------
        machine
            Name of the machine.
        from_s, to_s
            Seconds since the epoch; ``to_s`` itself is not included.
        max_points
            If there are more windows, only the highest score of each of this many parts of the
            time is returned.
        """
        from_ms, to_ms_ = to_ms(from_s), to_ms(to_s)
        values: dict[str, Any] = {"machine": machine, "from": from_ms, "to": to_ms_}
        sql = (
            "SELECT {} FROM score LEFT JOIN limits ON limits.id = limits_id "
            "WHERE score.machine_id = (SELECT id FROM machine WHERE name = :machine) "
            "AND at_ms >= :from AND at_ms < :to"
        )
        columns = "score.*, threshold, normal_range"
        if max_points is not None:
            (count,) = self._connections.rows(sql.format("count(*)"), values)[0]
            if count > max_points:
                values["bucket"] = -(-(to_ms_ - from_ms) // max_points)
                sql = sql.format(f"{columns}, max(coalesce(value, -1e300))")
                sql += " GROUP BY (at_ms - :from) / :bucket"
        rows = self._connections.rows(sql.format(columns) + " ORDER BY at_ms", values)
        return [to_score(row) for row in rows]

    def minutes(
        self, machine: str, from_s: float, to_s: float, max_points: int | None = None
    ) -> list[MinuteRow]:
        """Return the scores of each minute, oldest first.

        Parameters
        ----------
        machine
            Name of the machine.
        from_s, to_s
            Seconds since the epoch; minutes that begin in this time are returned.
        max_points
            If there are more minutes, as many of them are combined as are needed.
        """
        length_ms = MINUTE_MS
        if max_points is not None:
            needed_ms = (to_ms(to_s) - to_ms(from_s)) / max(max_points, 1)
            length_ms = max(MINUTE_MS, -(-int(needed_ms) // MINUTE_MS) * MINUTE_MS)
        return self._summaries(machine, from_s, to_s, length_ms)

    def trend(self, machine: str, from_s: float, to_s: float, length_s: float) -> list[MinuteRow]:
        """Return the scores of spans of equal length, the first beginning at ``from_s``.

        Parameters
        ----------
        machine
            Name of the machine.
        from_s, to_s
            Seconds since the epoch.
        length_s
            Length of a span; a whole number of minutes, and beyond an hour of hours.
        """
        return self._summaries(machine, from_s, to_s, to_ms(length_s))

    def hours(self, machine: str, from_s: float, to_s: float) -> list[MinuteRow]:
        """Return the scores of each hour, oldest first."""
        return self._summaries(machine, from_s, to_s, HOUR_MS)

    def _summaries(
        self, machine: str, from_s: float, to_s: float, length_ms: int
    ) -> list[MinuteRow]:
        table, unit_ms = "score_minute", MINUTE_MS
        if length_ms >= HOUR_MS:
            table, unit_ms = "score_hour", HOUR_MS
            length_ms = -(-length_ms // HOUR_MS) * HOUR_MS
        values = {
            "machine": machine,
            "from": to_ms(from_s) // unit_ms * unit_ms,
            "to": to_ms(to_s),
            "length": length_ms,
        }
        rows = self._connections.rows(_SUMMARIES.format(table=table), values)
        return [to_minute(row, length_ms) for row in rows]

    def spans(
        self, machine: str, from_s: float, to_s: float, limit: int = 10_000
    ) -> list[StateSpan]:
        """Return the states of a machine in a time, oldest first; not cut at its ends."""
        return [to_span(row) for row in self._spans("state_span", machine, from_s, to_s, limit)]

    def mode_spans(
        self, machine: str, from_s: float, to_s: float, limit: int = 10_000
    ) -> list[ModeSpan]:
        """Return the modes of a machine in a time, oldest first; not cut at its ends."""
        rows = self._spans("mode_span", machine, from_s, to_s, limit)
        return [to_mode_span(row) for row in rows]

    def _spans(
        self, table: str, machine: str, from_s: float, to_s: float, limit: int
    ) -> list[sqlite3.Row]:
        """Return the newest rows of a time, oldest first."""
        rows = self._connections.rows(
            f"SELECT * FROM {table} WHERE machine_id = (SELECT id FROM machine WHERE name = ?) "  # noqa: S608 - own names
            "AND from_ms < ? AND (to_ms IS NULL OR to_ms > ?) ORDER BY from_ms DESC, id DESC "
            "LIMIT ?",
            (machine, to_ms(to_s), to_ms(from_s), limit),
        )
        return rows[::-1]

    def first_monitored_s(self, machine: str) -> float | None:
        """Return when the oldest known state of a machine began; None if there is none."""
        (row,) = self._connections.rows(
            "SELECT min(from_ms) AS first_ms FROM state_span "
            "WHERE machine_id = (SELECT id FROM machine WHERE name = ?)",
            (machine,),
        )
        return None if row["first_ms"] is None else row["first_ms"] / 1000

    def time_in_state(self, machine: str, from_s: float, to_s: float) -> dict[State, float]:
        """Return for how many seconds of a time a machine was in each state.

        The rest of the time was not monitored. After the clock was set back, times overlap.
        """
        spans = self.spans(machine, from_s, to_s, limit=1_000_000)
        return sum_times(((span.state, span) for span in spans), from_s, to_s)

    def time_in_mode(self, machine: str, from_s: float, to_s: float) -> dict[str, float]:
        """Return for how many seconds of a time a machine was in each mode, longest first."""
        spans = self.mode_spans(machine, from_s, to_s, limit=1_000_000)
        seconds = sum_times(((span.mode, span) for span in spans), from_s, to_s)
        return dict(sorted(seconds.items(), key=lambda item: -item[1]))

    def events(
        self,
        machine: str | None = None,
        *,
        open: bool | None = None,
        unacknowledged: bool = False,
        from_s: float | None = None,
        to_s: float | None = None,
        limit: int = MAX_EVENTS,
    ) -> list[Event]:
        """Return events, newest first.

        Parameters
        ----------
        machine
            Only of this machine.
        open
            True: only those that have not ended; False: only those that have.
        unacknowledged
            Only those that no one has acknowledged or judged.
        from_s, to_s
            Only those that lasted into this time, or began in it; seconds since the epoch.
        limit
            At most this many.
        """
        conditions, values = ["1"], list[object]()
        if machine is not None:
            conditions.append("machine.name = ?")
            values.append(machine)
        if open is not None:
            conditions.append(f"closed_ms IS {'' if open else 'NOT '}NULL")
        if unacknowledged:
            conditions.append(_UNACKNOWLEDGED)
        if from_s is not None:
            conditions.append("(closed_ms IS NULL OR closed_ms >= ?)")
            values.append(to_ms(from_s))
        if to_s is not None:
            conditions.append("opened_ms < ?")
            values.append(to_ms(to_s))
        sql = f"{_EVENT} WHERE {' AND '.join(conditions)} ORDER BY opened_ms DESC LIMIT ?"
        return [to_event(row) for row in self._connections.rows(sql, [*values, limit])]

    def event(self, event_id: str) -> Event | None:
        """Return an event; None if there is none with this id."""
        rows = self._connections.rows(f"{_EVENT} WHERE event.id = ?", (event_id,))
        return to_event(rows[0]) if rows else None

    def notes(self, event_id: str) -> list[EventNote]:
        """Return the notes about an event, oldest first."""
        rows = self._connections.rows(
            "SELECT * FROM event_note WHERE event_id = ? ORDER BY id", (event_id,)
        )
        return [to_note(row) for row in rows]

    def shelves(self, machine: str, at_s: float | None = None) -> list[Shelf]:
        """Return the shelves of a machine, newest first; only those that apply at ``at_s``."""
        sql = "SELECT * FROM shelf WHERE machine_id = (SELECT id FROM machine WHERE name = ?)"
        values: list[object] = [machine]
        if at_s is not None:
            sql += " AND from_ms <= ? AND until_ms > ?"
            values += [to_ms(at_s), to_ms(at_s)]
        rows = self._connections.rows(f"{sql} ORDER BY id DESC", values)
        return [to_shelf(row, machine) for row in rows]

    def audit(self, limit: int = MAX_EVENTS) -> list[AuditEntry]:
        """Return what people did or asked for, newest first."""
        rows = self._connections.rows("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,))
        return [to_audit_entry(row) for row in rows]

    def judging_version(self) -> tuple[int, ...]:
        """Return numbers that change whenever a person did something; fast enough to poll."""
        tables = ("event_note", "shelf", "audit")
        sql = "SELECT coalesce(max(id), 0) AS id FROM {}"
        rows = self._connections.rows(" UNION ALL ".join(map(sql.format, tables)))
        return tuple(row["id"] for row in rows)

    def models(self, machine: str) -> list[ModelRow]:
        """Return the models that have scored a machine, oldest first."""
        rows = self._connections.rows(
            "SELECT * FROM model WHERE machine_id = (SELECT id FROM machine WHERE name = ?) "
            "ORDER BY from_ms",
            (machine,),
        )
        return [to_model(row) for row in rows]

    def last_score_s(self, machine: str) -> float | None:
        """Return when the newest stored window of a machine was captured; None if there is none."""
        (newest,) = self._connections.rows(
            "SELECT max(at_ms) FROM score "
            "WHERE machine_id = (SELECT id FROM machine WHERE name = ?)",
            (machine,),
        )[0]
        return None if newest is None else to_s(newest)

    def overview(self, from_s: float, to_s: float) -> list[MachineOverview]:
        """Return the states and open events of all machines in a time."""
        open_events = {event.machine: event for event in self.events(open=True)}
        return [
            MachineOverview(
                machine,
                tuple(self.spans(machine, from_s, to_s, limit=500)),
                open_events.get(machine),
                self.last_score_s(machine),
            )
            for machine in self.machines()
        ]

    def close(self) -> None:
        """Close the connection of the calling thread."""
        self._connections.close()
