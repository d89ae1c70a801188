"""The folders of events: complete or absent, and limited in number and size.

Each event has a folder with its name. It is written under another name and renamed when all its
files are on the disk, so that a crash leaves either the old folder or the new one.
"""

import json
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.evidence.clip import UNFINISHED_SUFFIX, sync_folder, write_durably
from asd_monitor.evidence.event_history import NO_FILES, EventHistory, NoHistory
from asd_monitor.evidence.settings import EvidenceSettings

logger = logging.getLogger(__name__)

DESCRIPTION = "evidence.json"
CLIP = "clip.flac"
PICTURE = "picture.png"
NEAREST_CLIP = "nearest.flac"
NEAREST_PICTURE = "nearest.png"

_NEW, _OLD = ".new-", ".old-"
GB, DAY_S = 1e9, 86_400.0


class NoRoomError(OSError):
    """There is no room for evidence, by the settings or on the disk."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The evidence of an event on the disk."""

    event_id: str
    machine: str
    size_bytes: int


class EvidenceStore:
    """Write and delete the folders of events; used by one thread.

    Parameters
    ----------
    root
        The folder that contains them.
    settings
        How much is kept.
    events
        Says which events are protected, and records that evidence was deleted.
    disk
        Returns the free and the total bytes of the disk of a folder.
    """

    def __init__(
        self,
        root: Path,
        settings: EvidenceSettings,
        events: EventHistory | None = None,
        *,
        disk: Callable[[Path], tuple[int, int]] | None = None,
    ) -> None:
        self.root = root
        self._settings = settings
        self._events = events or NoHistory()
        self._disk = disk or _measure_disk
        self._stored: dict[str, Stored] = {}

    @property
    def size_bytes(self) -> int:
        """Size of all evidence."""
        return sum(stored.size_bytes for stored in self._stored.values())

    @property
    def event_ids(self) -> list[str]:
        """The events that have evidence, oldest first."""
        return sorted(self._stored)

    def has(self, event_id: str) -> bool:
        """Return whether an event has evidence."""
        return event_id in self._stored

    def folder(self, event_id: str) -> Path:
        """Return the folder of an event."""
        return self.root / event_id

    def sweep(self) -> dict[str, dict[str, object]]:
        """Remove what a crash has left; return the description of each event by its id."""
        descriptions = {}
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if folder.name.startswith(_NEW):
                _remove(folder)
            elif folder.name.startswith(_OLD):
                current = self.root / folder.name.removeprefix(_OLD)
                _remove(folder) if current.exists() else folder.rename(current)
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            description = read_description(folder)
            if description is None:
                _remove(folder)
                continue
            for unfinished in folder.glob(f"*{UNFINISHED_SUFFIX}"):
                unfinished.unlink(missing_ok=True)
            machine = str(description.get("machine", ""))
            self._stored[folder.name] = Stored(folder.name, machine, _size_of(folder))
            descriptions[folder.name] = description
        return descriptions

    def write(self, event_id: str, machine: str, files: Mapping[str, bytes]) -> None:
        """Write the folder of an event, or replace it.

        Raises
        ------
        NoRoomError
            If it would be too much by the settings.
        OSError
            If it cannot be written.
        """
        size = sum(map(len, files.values()))
        self._make_room(event_id, machine, size)
        new, old = self.root / f"{_NEW}{event_id}", self.root / f"{_OLD}{event_id}"
        folder = self.folder(event_id)
        _remove(new)
        try:
            new.mkdir(parents=True)
            for name, content in files.items():
                write_durably(new / name, content)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            sync_folder(self.root)
        except OSError:
            _remove(new)
            raise
        _remove(old)
        self._stored[event_id] = Stored(event_id, machine, size)

    def add(self, event_id: str, files: Mapping[str, bytes]) -> None:
        """Write further files into an event's folder; the description comes last.

        Raises
        ------
        NoRoomError, OSError
            As :meth:`write`.
        """
        stored = self._stored.get(event_id)
        if stored is None:
            raise NoRoomError(f"the evidence of {event_id} is not there any more")
        self._make_room(event_id, stored.machine, sum(map(len, files.values())))
        folder = self.folder(event_id)
        for name, content in sorted(files.items(), key=lambda item: item[0] == DESCRIPTION):
            write_durably(folder / name, content)
        self._stored[event_id] = Stored(event_id, stored.machine, _size_of(folder))

    def delete(self, event_id: str) -> None:
        """Delete the evidence of an event."""
        _remove(self.folder(event_id))
        self._stored.pop(event_id, None)

    def delete_old(self, now_s: float, open_ids: Collection[str] = ()) -> int:
        """Delete the evidence that is kept longer than the settings allow; return how much.

        Its age begins when its description was last written, which is when the event ended. Open
        events keep theirs; marked ones do not.

        Parameters
        ----------
        now_s
            Seconds since the epoch.
        open_ids
            Events that are open, whether or not the history knows.
        """
        days, deleted = self._settings.keep_days, 0
        if days is None:
            return 0
        for event_id in self.event_ids:
            if event_id in open_ids or self._events.is_open(event_id):
                continue
            try:
                ended_s = (self.folder(event_id) / DESCRIPTION).stat().st_mtime
            except OSError:
                continue
            if ended_s < now_s - days * DAY_S:
                self.delete(event_id)
                self._events.update(event_id, **NO_FILES)
                deleted += 1
        if deleted:
            logger.info("the evidence of %d events was deleted after %g days", deleted, days)
        return deleted

    def _make_room(self, event_id: str, machine: str, size: int) -> None:
        """Delete the oldest evidence that is not protected until there is room for more."""
        settings = self._settings
        while sum(s.machine == machine for s in self._others(event_id)) >= settings.max_clips:
            self._delete_oldest(event_id, f"{settings.max_clips} events of {machine}", machine)
        while sum(s.size_bytes for s in self._others(event_id)) + size > settings.max_gb * GB:
            self._delete_oldest(event_id, f"{settings.max_gb:g} GB of evidence")
        self._free_disk(event_id, size)

    def _free_disk(self, event_id: str, size: int) -> None:
        """Delete evidence until enough of the disk is free, if that can be reached at all.

        Where other programs fill the disk, deleting everything would not help.
        """
        limit = f"a disk of which at least {self._settings.min_free_percent:g} % must stay free"
        free, total = self._disk(self.root)
        required = self._settings.min_free_percent / 100 * total + size
        deletable = sum(
            stored.size_bytes
            for stored in self._others(event_id)
            if not self._events.is_protected(stored.event_id)
        )
        if free + deletable < required:
            raise NoRoomError(f"the limit is {limit}")
        while self._disk(self.root)[0] < required:
            self._delete_oldest(event_id, limit)

    def _others(self, event_id: str) -> list[Stored]:
        return [self._stored[name] for name in sorted(self._stored) if name != event_id]

    def _delete_oldest(self, event_id: str, limit: str, machine: str | None = None) -> None:
        """Delete the oldest unprotected evidence; raise NoRoomError if there is none."""
        for stored in self._others(event_id):
            if machine in (None, stored.machine) and not self._events.is_protected(stored.event_id):
                self.delete(stored.event_id)
                self._events.update(stored.event_id, **NO_FILES)
                logger.info("evidence of %s was deleted: the limit is %s", stored.event_id, limit)
                return
        raise NoRoomError(f"the limit is {limit}")


def read_description(folder: Path) -> dict[str, object] | None:
    """Return the description in an event's folder; None if there is none that can be read."""
    try:
        values = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _measure_disk(path: Path) -> tuple[int, int]:
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    return usage.free, usage.total


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
