"""Tables that rows refer to: machines, models, and the limits of scores."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from asd_monitor.history.codes import finite, to_ms
from asd_monitor.records import ModelInfo, ScoredWindow

LimitsKey = tuple[int, int | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class _ModelKey:
    machine_id: int
    sha256: str
    calibration_windows: int


class NameTables:
    """Find rows by their content, and insert those that are missing.

    Parameters
    ----------
    connection
        The database.
    displayed
        Display names of machines by their id, which are stored with them.
    """

    def __init__(
        self, connection: sqlite3.Connection, displayed: Mapping[str, str] | None = None
    ) -> None:
        self._connection = connection
        self._displayed = displayed or {}
        self._machines: dict[str, int] = {}
        self._models: dict[_ModelKey, int] = {}
        self._limits: dict[LimitsKey, int] = {}

    def machine_id(self, name: str) -> int:
        """Return the id of a machine."""
        known = self._machines.get(name)
        if known is None:
            known = self._machines[name] = self._find_or_insert(
                "SELECT id FROM machine WHERE name = ?",
                (name,),
                "INSERT INTO machine (name, created_ms) VALUES (?, unixepoch() * 1000)",
                (name,),
            )
            self._store_display_name(name)
        return known

    def _store_display_name(self, name: str) -> None:
        if name in self._displayed:
            self._connection.execute(
                "UPDATE machine SET display = ?1 WHERE name = ?2 AND display != ?1",
                (self._displayed[name], name),
            )

    def limits_id(self, machine_id: int, window: ScoredWindow) -> int | None:
        """Return the id of what a window's score was compared with; None if with nothing."""
        score, normal_range = window.score, finite(window.decision.normal_range)
        if score.model is None and score.threshold is None and normal_range is None:
            return None
        model_id = None
        if score.model is not None:
            model_id = self._model_id(machine_id, score.model, score.captured_at)
        key = (machine_id, model_id, finite(score.threshold), normal_range)
        known = self._limits.get(key)
        if known is None:
            known = self._limits[key] = self._find_or_insert(
                "SELECT id FROM limits WHERE machine_id = ? AND model_id IS ? "
                "AND threshold IS ? AND normal_range IS ?",
                key,
                "INSERT INTO limits (machine_id, model_id, threshold, normal_range) "
                "VALUES (?, ?, ?, ?)",
                key,
            )
        return known

    def _model_id(self, machine_id: int, model: ModelInfo, at_s: float) -> int:
        key = _ModelKey(machine_id, model.sha256, model.calibration_windows)
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = self._find_or_insert(
                "SELECT id FROM model WHERE machine_id = ? AND sha256 = ? "
                "AND calibration_windows = ?",
                (machine_id, model.sha256, model.calibration_windows),
                "INSERT INTO model (machine_id, sha256, name, revision, from_ms, "
                "calibration_windows, provisional) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    machine_id,
                    model.sha256,
                    model.name,
                    model.revision,
                    to_ms(at_s),
                    model.calibration_windows,
                    int(model.provisional),
                ),
            )
        return known

    def _find_or_insert(
        self, find: str, sought: tuple[object, ...], insert: str, values: tuple[object, ...]
    ) -> int:
        row = self._connection.execute(find, sought).fetchone()
        if row is not None:
            return int(row[0])
        return int(self._connection.execute(insert, values).lastrowid or 0)
