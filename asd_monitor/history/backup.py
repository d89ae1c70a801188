"""A backup of a state folder in one tar file, taken while the monitor runs."""

import io
import json
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from asd_monitor import __version__
from asd_monitor.errors import StateError
from asd_monitor.history.database import FILE_NAME, open_to_read
from asd_monitor.history.migrations import VERSION

MANIFEST = "backup.json"
FOLDERS = ("events", "models", "calibration")
"""Folders of the state folder that are always part of a backup."""
RECORDINGS = "recordings"
FILES = ("settings.yaml",)
"""Files that are part of a backup if they exist. Passwords and sessions of the page are not."""


def write_backup(root: Path, out: Path, *, recordings: bool = False) -> dict[str, Any]:
    """Write the history, the events with their files, and the models to a tar file.

    The file appears when it is complete, with the access rights of its owner only.

    Parameters
    ----------
    root
        The state folder.
    out
        The tar file; compressed if its name ends with ``gz``.
    recordings
        Add the recordings of normal sound, from which models are learned.

    Returns
    -------
    The contents of the file ``backup.json`` in it: versions, time, and number of files.

    Raises
    ------
    StateError
        If there is nothing to back up, or a file cannot be read or written.
    """
    _check_place(root, out)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            compressed = out.suffix in (".gz", ".tgz")
            with tarfile.open(fileobj=file, mode="w:gz" if compressed else "w") as tar:
                manifest = _add_everything(tar, root, out.parent, recordings=recordings)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(out)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        msg = f"{out}: the backup cannot be written: {reason}"
        raise StateError(msg) from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return manifest


def _check_place(root: Path, out: Path) -> None:
    if out.exists():
        msg = f"{out}: the file exists; choose another name, so that no backup is lost"
        raise StateError(msg)
    if out.absolute().is_relative_to(root.absolute()):
        msg = f"{out}: expected a file outside the state folder {root}"
        raise StateError(msg)
    if not any((root / name).exists() for name in (FILE_NAME, *FOLDERS)):
        msg = f"{root}: there is no history and no model to back up; see --state-dir"
        raise StateError(msg)


def _add_everything(
    tar: tarfile.TarFile, root: Path, temporary: Path, *, recordings: bool
) -> dict[str, Any]:
    files = 0
    if (root / FILE_NAME).exists():
        _add_database(tar, root / FILE_NAME, temporary)
        files += 1
    folders = (*FOLDERS, RECORDINGS) if recordings else FOLDERS
    for path in _list_files(root, folders):
        try:
            tar.add(path, arcname=path.relative_to(root), recursive=False)
        except FileNotFoundError:  # removed by the monitor meanwhile
            continue
        files += 1
    manifest = {
        "schema": 1,
        "program": f"asd-monitor {__version__}",
        "history_version": VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": files,
    }
    text = json.dumps(manifest, indent=2).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mtime, info.mode = len(text), int(time.time()), 0o600
    tar.addfile(info, io.BytesIO(text))
    return manifest


def _add_database(tar: tarfile.TarFile, path: Path, temporary: Path) -> None:
    """Add a consistent copy of the database; a monitor may write it meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix=".asd-monitor-backup-", dir=temporary) as folder,
        closing(open_to_read(path)) as source,
    ):
        copy = Path(folder) / FILE_NAME
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        copy.chmod(0o600)
        tar.add(copy, arcname=FILE_NAME)


def _list_files(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for name in FILES:
        if (root / name).is_file():
            yield root / name
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path
