"""What each hour of a machine sounded like: medians, one line of a file per hour.

The file contains scores and levels, and no sound.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, ScoredWindow, State
from asd_monitor.storage.durable import make_folder_durably, write_durably

HOUR_S = 3600.0
MIN_SOUND_S = 600.0
"""An hour with less sound of the running machine is left out."""
KEPT_S = 400 * 86_400.0
"""Older hours are removed."""
RUNNING = frozenset({State.NORMAL, State.WARNING, State.ALARM})
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Hour:
    """Medians of the sound of one hour in which the machine ran."""

    start_s: float
    """In seconds since the epoch."""
    sound_s: float
    """Length of the sound."""
    score: float
    level_dbfs: float | None
    voices: tuple[float, ...]
    """Medians of the blocks' log scores."""
    bands_db: tuple[float, ...]
    """Medians of the levels in sixth-octave bands; empty where no sound is kept in memory."""
    model_sha256: str

    def to_json(self) -> str:
        """Return one line."""
        values = asdict(self)
        for name in ("voices", "bands_db"):
            values[name] = [round(value, DECIMALS) for value in values[name]]
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Restore an hour from :meth:`to_json`; raise ValueError for anything else."""
        values = json.loads(line)
        try:
            hour = cls(
                float(values["start_s"]),
                float(values["sound_s"]),
                float(values["score"]),
                None if values["level_dbfs"] is None else float(values["level_dbfs"]),
                tuple(map(float, values["voices"])),
                tuple(map(float, values["bands_db"])),
                str(values["model_sha256"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an hour: {error}") from error
        if not all(map(math.isfinite, (hour.start_s, hour.score, *hour.voices, *hour.bands_db))):
            raise ValueError("expected finite numbers")
        return hour


class HourCollector:
    """Collect the windows and the band levels of one machine, hour by hour.

    Parameters
    ----------
    rule
        Decision rule of the model.
    model_sha256
        The model.
    """

    def __init__(self, rule: DecisionRule, model_sha256: str) -> None:
        self._rule = rule
        self._names = () if rule.voices is None else rule.voices.names
        self._model_sha256 = model_sha256
        self._last_end: int | None = None
        self._start_s: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._voices: list[Sequence[float]] = []
        self._scores: list[float] = []
        self._levels: list[float] = []
        self._bands: list[npt.NDArray[np.float64]] = []

    def add(self, window: ScoredWindow) -> Hour | None:
        """Take a window into account; return the hour that has ended, if one has."""
        score = window.score
        if self._last_end is not None and score.window_start < self._last_end:
            return None
        self._last_end = score.window_start + self._rule.window_samples
        start_s = math.floor(score.captured_at / HOUR_S) * HOUR_S
        ended = None if start_s == self._start_s else self.finish()
        self._start_s = start_s
        is_running = window.decision.state in RUNNING and score.quality is Quality.OK
        if not is_running or score.value is None:
            return ended
        voices = score.voices if len(self._names) > 1 else (score.value,)
        if len(voices) == len(self._names):
            self._voices.append(voices)
            self._scores.append(score.value)
            if score.level_dbfs is not None:
                self._levels.append(score.level_dbfs)
        return ended

    def add_bands(self, bands_db: npt.NDArray[np.float64]) -> None:
        """Take the levels of some of the hour's sound into account."""
        self._bands.append(bands_db)

    def finish(self) -> Hour | None:
        """Return the hour that has begun, and begin another; None if it has too little sound."""
        sound_s = len(self._scores) * self._rule.window_s
        hour = None
        if self._start_s is not None and sound_s >= MIN_SOUND_S:
            size = block_windows(self._rule.window_s)
            used = len(self._voices) // size * size
            rows = np.asarray(self._voices[:used], np.float64).reshape(-1, size, len(self._names))
            bands = np.median(np.stack(self._bands), axis=0).tolist() if self._bands else []
            hour = Hour(
                self._start_s,
                sound_s,
                float(np.median(self._scores)),
                float(np.median(self._levels)) if self._levels else None,
                tuple(np.median(rows.mean(1), axis=0).tolist()),
                tuple(bands),
                self._model_sha256,
            )
        self._clear()
        return hour


def append_hour(path: Path, hour: Hour) -> None:
    """Add an hour to a file and put it on the disk; raise OSError if that fails."""
    make_folder_durably(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        # A line that a full disk or a kill has cut short is ended first.
        os.write(handle, f"\n{hour.to_json()}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read_hours(path: Path, from_s: float = -math.inf) -> list[Hour]:
    """Return the hours of a file from a time on, oldest first; lines cut short are left out."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    hours: dict[float, Hour] = {}
    for line in lines:
        try:
            hour = Hour.from_json(line)
        except (ValueError, RecursionError):
            continue
        if hour.start_s >= from_s:
            hours[hour.start_s] = hour
    return [hours[start_s] for start_s in sorted(hours)]


def remove_old_hours(path: Path, now_s: float) -> None:
    """Remove the hours that are older than ``KEPT_S``; raise OSError on failure."""
    hours = read_hours(path)
    kept = [hour for hour in hours if hour.start_s >= now_s - KEPT_S]
    if len(kept) < len(hours):
        write_durably(path, "".join(f"{hour.to_json()}\n" for hour in kept).encode(), mode=0o600)
