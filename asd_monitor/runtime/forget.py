"""Delete what was recorded of a machine."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asd_monitor.detectability.store import result_path
from asd_monitor.errors import StateError
from asd_monitor.history.database import FILE_NAME, open_to_write
from asd_monitor.judging.mode_names import names_path
from asd_monitor.judging.proposal import previous_model, proposed_model, taken_model
from asd_monitor.outbox import stored
from asd_monitor.outbox.database import FILE_NAME as OUTBOX_FILE_NAME
from asd_monitor.outbox.database import SPARKPLUG_FILE_NAME
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.runtime.state_dir import MODEL_SUFFIX, StateFolder
from asd_monitor.unicode_names import is_id

_EVENT_ID = re.compile(r"(\d{8}T\d{6})-(.+)-[^-]+")
_ARCHIVE = re.compile(r"(.+)-(\d{8}T\d{6})Z")
_ROWS = {
    "event_note": "event_id IN (SELECT id FROM event WHERE machine_id = ? AND opened_ms < ?)",
    "event": "machine_id = ? AND opened_ms < ?",
    "score": "machine_id = ? AND at_ms < ?",
    "score_minute": "machine_id = ? AND start_ms < ?",
    "score_hour": "machine_id = ? AND start_ms < ?",
    "state_span": "machine_id = ? AND from_ms < ?",
    "mode_span": "machine_id = ? AND from_ms < ?",
    "shelf": "machine_id = ? AND from_ms < ?",
}
"""Which rows of the history belong to a machine and are older than a time, in ms."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is stored of a machine."""

    machine: str
    before_s: float
    paths: tuple[Path, ...]
    """Files and folders with sound and evidence, and models if they were asked for."""
    rows: int
    """Rows of the history and of the outbox."""

    @property
    def size_bytes(self) -> int:
        """Size of the files."""
        files = (file for path in self.paths for file in (path, *path.rglob("*")))
        return sum(file.stat().st_size for file in files if file.is_file())


def find_machines(state: StateFolder) -> set[str]:
    """Return the ids of the machines of which the state folder has files."""
    root = state.root
    names = {path.name.removesuffix(MODEL_SUFFIX) for path in root.glob(f"models/*{MODEL_SUFFIX}")}
    names |= {path.stem for path in root.glob("alarms/*.json")}
    names |= {path.name for path in root.glob("recordings/*") if path.is_dir()}
    archives = (_ARCHIVE.fullmatch(path.name) for path in root.glob("archived-recordings/*"))
    names |= {matched[1] for matched in archives if matched}
    events = (_EVENT_ID.fullmatch(path.name) for path in state.events_path.glob("*"))
    names |= {matched[2] for matched in events if matched}
    return {name for name in names if is_id(name)}


def find_remembered(
    state: StateFolder, machine: str, before_s: float = float("inf"), *, models: bool = False
) -> Remembered:
    """Return what :func:`forget` would delete.

    Parameters
    ----------
    state
        The state folder.
    machine
        Name of the machine.
    before_s
        Only what is older than this time, in seconds since the epoch.
    models
        Include the models of the machine.
    """
    paths = [*find_recordings(state, machine, before_s), *_find_events(state, machine, before_s)]
    if before_s == float("inf"):
        paths += [state.alarm_path(machine), *CalibrationFiles(state.root, machine).all]
    if models:
        present = state.model_path(machine)
        root, damaged = state.root, present.with_name(f"{present.name}.damaged")
        proposed = proposed_model(root, machine)
        paths += [present, damaged, result_path(present), previous_model(root, machine)]
        paths.append(taken_model(root, machine))
        paths += [proposed, proposed.with_suffix(".json"), names_path(root, machine)]
    existing = tuple(path for path in paths if path.exists())
    rows = _history(state, machine, before_s, "count")
    for name in (OUTBOX_FILE_NAME, SPARKPLUG_FILE_NAME):
        rows += stored.count_of(state.root / name, machine, _to_ms(before_s))
    return Remembered(machine, before_s, existing, rows)


def forget(state: StateFolder, found: Remembered) -> None:
    """Delete what was found, files first.

    Raises
    ------
    StateError
        If a file or a row cannot be deleted.
    """
    for path in found.paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{path}: cannot be deleted: {error.strerror}") from error
    _history(state, found.machine, found.before_s, "delete")
    for name in (OUTBOX_FILE_NAME, SPARKPLUG_FILE_NAME):
        stored.delete_of(state.root / name, found.machine, _to_ms(found.before_s))


def find_recordings(state: StateFolder, machine: str, before_s: float) -> Iterator[Path]:
    """Yield recordings, and folders of archived ones, that are older than a time."""
    folder = state.recordings_path(machine).parent
    if before_s == float("inf"):
        yield folder
    else:
        for path in sorted(folder.glob("*/*")):
            if path.is_file() and path.stat().st_mtime < before_s:
                yield path
    for path in sorted((state.root / "archived-recordings").glob("*")):
        matched = _ARCHIVE.fullmatch(path.name)
        if matched and matched[1] == machine and _parse(matched[2]) < before_s:
            yield path


def _find_events(state: StateFolder, machine: str, before_s: float) -> Iterator[Path]:
    for path in sorted(state.events_path.glob("*")):
        matched = _EVENT_ID.fullmatch(path.name)
        if matched and matched[2] == machine and _parse(matched[1]) < before_s:
            yield path


def _parse(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()


def _to_ms(before_s: float) -> int:
    return 2**62 if before_s == float("inf") else round(1000 * before_s)


def _history(state: StateFolder, machine: str, before_s: float, action: str) -> int:
    """Count or delete the rows of a machine; return their number."""
    path = state.root / FILE_NAME
    if not path.exists():
        return 0
    before_ms = _to_ms(before_s)
    verb = "SELECT count(*)" if action == "count" else "DELETE"
    total = 0
    with closing(open_to_write(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        row = connection.execute("SELECT id FROM machine WHERE name = ?", (machine,)).fetchone()
        if row is None:
            return 0
        connection.execute("BEGIN IMMEDIATE")
        for table, condition in _ROWS.items():
            cursor = connection.execute(
                f"{verb} FROM {table} WHERE {condition}",
                (row[0], before_ms),
            )
            total += cursor.fetchone()[0] if action == "count" else cursor.rowcount
        connection.execute("COMMIT")
        if action == "delete":
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return total
