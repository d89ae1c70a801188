"""The events of the history, as far as their evidence needs them."""

from collections.abc import Mapping
from typing import Any, Protocol

from asd_monitor.errors import StateError
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import Event
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import Band, State

MAX_CHECKED_EVENTS = 1000
"""Of more events, only the newest are checked at the start."""
NO_FILES: dict[str, Any] = {"clip": "", "picture": "", "nearest_normal": "", "clip_s": 0.0}
"""Fields of an event whose evidence was deleted."""


class EventHistory(Protocol):
    """Where events are recorded."""

    def update(self, event_id: str, **fields: Any) -> None:  # noqa: ANN401 - fields of Event
        """Change fields of an event."""

    def is_protected(self, event_id: str) -> bool:
        """Return whether the evidence of an event must not be deleted."""

    def is_open(self, event_id: str) -> bool:
        """Return whether an event has not ended."""

    def reconcile(self, descriptions: Mapping[str, Mapping[str, Any]]) -> None:
        """Make events agree with the evidence that is there, by event id, after a crash."""


class NoHistory:
    """No history: events are known by their folders only."""

    def update(self, event_id: str, **fields: Any) -> None:  # noqa: ANN401 - as in EventHistory
        """Do nothing."""

    def is_protected(self, event_id: str) -> bool:
        """Return False."""
        return False

    def is_open(self, event_id: str) -> bool:
        """Return False."""
        return False

    def reconcile(self, descriptions: Mapping[str, Mapping[str, Any]]) -> None:
        """Do nothing."""


class StoredEvents:
    """The events of a history.

    Parameters
    ----------
    writer
        The history.
    """

    def __init__(self, writer: HistoryWriter) -> None:
        self._writer = writer
        self._reader = HistoryReader(writer.path)

    def update(self, event_id: str, **fields: Any) -> None:  # noqa: ANN401 - as in EventHistory
        """Change fields of an event, soon."""
        self._writer.update_event(event_id, **fields)

    def is_protected(self, event_id: str) -> bool:
        """Return whether an event is open or marked, or the history cannot be read."""
        try:
            event = self._reader.event(event_id)
        except StateError:
            return self._reader.path.exists()
        return event is not None and (event.protected or event.closed_s is None)

    def is_open(self, event_id: str) -> bool:
        """Return whether an event has not ended, or the history cannot be read."""
        try:
            event = self._reader.event(event_id)
        except StateError:
            return self._reader.path.exists()
        return event is not None and event.closed_s is None

    def reconcile(self, descriptions: Mapping[str, Mapping[str, Any]]) -> None:
        """Add what the history does not have, and clear what is not there any more."""
        try:
            for event_id, description in descriptions.items():
                event = self._reader.event(event_id)
                if event is None:  # an earlier history was lost
                    self._writer.open_event(_restore(description))
                elif not event.picture:
                    self._writer.update_event(event_id, **fields_of(description))
            for event in self._reader.events(limit=MAX_CHECKED_EVENTS):
                if event.picture and event.id not in descriptions:
                    self._writer.update_event(event.id, **NO_FILES)
        except StateError:
            return  # there is no history yet, or the writer reports what is wrong with it


def fields_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event by the description of its evidence."""
    clip, nearest = description["clip"], description["nearest_normal"]
    names = ("low_hz", "high_hz", "change_db", "from_s", "to_s")
    return {
        "headline": description["headline"],
        "bands": tuple(Band(*(band[name] for name in names)) for band in description["bands"]),
        "clip": clip["file"] or "",
        "picture": description["picture"]["file"],
        "nearest_normal": "" if nearest is None else nearest["recording"],
        "clip_s": clip["duration_s"] if clip["file"] else 0.0,
    }


def _restore(description: Mapping[str, Any]) -> Event:
    model = description["model"]
    return Event(
        id=description["event_id"],
        machine=description["machine"],
        opened_s=description["opened_s"],
        closed_s=description["closed_s"] or description["opened_s"],
        peak_state=State(description["state"]),
        threshold=description["score"]["threshold"],
        model_sha256="" if model is None else model["sha256"],
        **fields_of(description),
    )
