"""Write the times that machines spend in their modes."""

import sqlite3
from dataclasses import dataclass

from asd_monitor.history.codes import to_ms
from asd_monitor.records import ScoredWindow

MAX_GAP_MS = 60_000
"""A mode ends at its newest window if the next one comes later than this."""


@dataclass(slots=True)
class _Open:
    """A mode that lasts."""

    mode: str
    newest_ms: int


class ModeTable:
    """The rows of ``mode_span``: one for each time in one mode.

    Parameters
    ----------
    connection
        The database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._open: dict[int, _Open] = {}

    def resume(self, machine_id: int) -> None:
        """Find the mode that an earlier run left open; it lasted to the newest score."""
        row = self._connection.execute(
            "SELECT mode, max(from_ms, coalesce("
            "(SELECT max(at_ms) FROM score WHERE machine_id = ?1), from_ms)) "
            "FROM mode_span WHERE machine_id = ?1 AND to_ms IS NULL",
            (machine_id,),
        ).fetchone()
        if row is not None:
            self._open[machine_id] = _Open(row[0], row[1])

    def observe(self, machine_id: int, window: ScoredWindow) -> None:
        """Take the mode of a window into account."""
        mode, at_ms = window.decision.mode, to_ms(window.score.captured_at)
        known = self._open.get(machine_id)
        if known is not None:
            is_adjacent = 0 <= at_ms - known.newest_ms <= MAX_GAP_MS
            if is_adjacent and mode == known.mode:
                known.newest_ms = at_ms
                return
            self._close(machine_id, at_ms if is_adjacent else known.newest_ms)
        if mode:
            self._connection.execute(
                "INSERT INTO mode_span (machine_id, from_ms, mode) VALUES (?, ?, ?)",
                (machine_id, at_ms, mode),
            )
            self._open[machine_id] = _Open(mode, at_ms)

    def close(self) -> None:
        """End all modes at their newest window."""
        for machine_id, known in list(self._open.items()):
            self._close(machine_id, known.newest_ms)

    def _close(self, machine_id: int, at_ms: int) -> None:
        del self._open[machine_id]
        self._connection.execute(
            "UPDATE mode_span SET to_ms = max(from_ms, ?) WHERE machine_id = ? AND to_ms IS NULL",
            (at_ms, machine_id),
        )
