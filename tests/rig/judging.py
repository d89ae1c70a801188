"""A state folder with a history of events, for tests of what people do about them."""

import os
from dataclasses import replace
from pathlib import Path

from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.records import Event
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging.store import Author, JudgingStore
from asd_monitor.records import Band, State

NOW_S = 1_800_000_000.0
ANNA = Author("anna", "command line")
HUM = (Band(200, 300, 6.0), Band(650, 750, 9.0))


class SetClock:
    """A clock that tests set."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def make_event(event_id: str, machine: str = "pump", **values: object) -> Event:
    """Return an event of an alarm; a closed one, unless ``closed_s`` is None."""
    event = Event(
        event_id, machine, NOW_S - 600, NOW_S - 300, State.ALARM, 9.0, 4.0, bands=HUM, clip_s=30.0
    )
    return replace(event, **values)  # type: ignore[arg-type]


def make_store(root: Path, *events: Event, clock: SetClock | None = None) -> JudgingStore:
    """Return the store of a state folder with these events; each has a clip if it names one."""
    writer = HistoryWriter(root / FILE_NAME)
    writer.open()
    for event in events:
        writer.open_event(event)
        if event.clip:
            folder = root / "events" / event.id
            folder.mkdir(parents=True)
            (folder / event.clip).write_bytes(b"clip of " + event.id.encode())
            os.utime(folder / event.clip, (event.opened_s, event.opened_s))
    writer.flush()
    writer.close()
    return JudgingStore(root, clock or SetClock())
