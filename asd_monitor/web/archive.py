"""The history and the evidence of events, as stored in the state folder."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import (
    Event,
    EventNote,
    MachineOverview,
    MinuteRow,
    ModeSpan,
    ScoreRow,
    StateSpan,
)
from asd_monitor.records import State

CLIP, PICTURE = "clip.flac", "picture.png"
NEAREST_CLIP, NEAREST_PICTURE = "nearest.flac", "nearest.png"
EVIDENCE = "evidence.json"
FILES = frozenset({CLIP, PICTURE, NEAREST_CLIP, NEAREST_PICTURE})
"""Files of an event that are served."""

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Archive:
    """Read what is stored about machines and events; without a history, everything is empty.

    Parameters
    ----------
    state_root
        The state folder.
    """

    def __init__(self, state_root: Path) -> None:
        self.root = state_root
        self._path = state_root / FILE_NAME
        self._events = state_root / "events"
        self.reader = HistoryReader(self._path)

    @property
    def exists(self) -> bool:
        """Whether there is a history."""
        return self._path.exists()

    def size_bytes(self) -> int:
        """Return the size of the history's files."""
        return sum(path.stat().st_size for path in self.root.glob(f"{FILE_NAME}*"))

    def overview(self, from_s: float, to_s: float) -> dict[str, MachineOverview]:
        """Return the states, hourly scores and open event of each machine in a time."""
        if not self.exists:
            return {}
        return {row.machine: row for row in self.reader.overview(from_s, to_s)}

    def spans(self, machine: str, from_s: float, to_s: float) -> Sequence[StateSpan]:
        """Return the states of a machine in a time, oldest first."""
        return self.reader.spans(machine, from_s, to_s) if self.exists else []

    def mode_spans(self, machine: str, from_s: float, to_s: float) -> Sequence[ModeSpan]:
        """Return the modes of a machine in a time, oldest first."""
        return self.reader.mode_spans(machine, from_s, to_s) if self.exists else []

    def minutes(
        self, machine: str, from_s: float, to_s: float, max_points: int
    ) -> Sequence[MinuteRow]:
        """Return the scores of a machine in at most this many parts of a time, oldest first."""
        if not self.exists:
            return []
        return self.reader.minutes(machine, from_s, to_s, max_points)

    def scores(
        self, machine: str, from_s: float, to_s: float, max_points: int
    ) -> Sequence[ScoreRow]:
        """Return the scores of single windows, the highest of each of this many parts."""
        return self.reader.scores(machine, from_s, to_s, max_points) if self.exists else []

    def time_in_state(self, machine: str, from_s: float, to_s: float) -> dict[State, float]:
        """Return for how many seconds of a time a machine was in each state."""
        return self.reader.time_in_state(machine, from_s, to_s) if self.exists else {}

    def time_in_mode(self, machine: str, from_s: float, to_s: float) -> dict[str, float]:
        """Return for how many seconds of a time a machine was in each mode, longest first."""
        return self.reader.time_in_mode(machine, from_s, to_s) if self.exists else {}

    def events(
        self,
        machine: str | None = None,
        *,
        is_open: bool | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
        limit: int = 200,
    ) -> Sequence[Event]:
        """Return events, newest first."""
        if not self.exists:
            return []
        return self.reader.events(machine, open=is_open, from_s=from_s, to_s=to_s, limit=limit)

    def event(self, event_id: str) -> Event | None:
        """Return an event; None if the database has none with this id."""
        if not self.exists or not _EVENT_ID.fullmatch(event_id):
            return None
        return self.reader.event(event_id)

    def notes(self, event_id: str) -> Sequence[EventNote]:
        """Return the notes about an event, oldest first."""
        return self.reader.notes(event_id) if self.exists else []

    def file(self, event: Event, name: str) -> Path | None:
        """Return the path of one of FILES of an event of the database; None if it is missing."""
        path = self._events / event.id / name
        return path if name in FILES and path.is_file() else None

    def evidence(self, event: Event) -> dict[str, Any]:
        """Return what was measured about an event; empty if nothing was."""
        try:
            value = json.loads((self._events / event.id / EVIDENCE).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}
