"""Folder of the results of jobs, with which a stopped replay is resumed."""

import os
import shutil
from pathlib import Path

from asd_monitor.errors import DatasetError

WORK = "work"
"""Name of the folder within the output folder."""


def choose_work_folder(out: Path | None) -> Path:
    """Return the folder of all work: in the output folder, or else in the user's cache."""
    if out is not None:
        return out / WORK
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "asd-monitor" / "replay"


def create_work_folder(work: Path) -> None:
    """Create the folder of one replay's work; raise DatasetError if that fails."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{work}: cannot be created: {error.strerror or error}; choose --out"
        raise DatasetError(msg) from error


def clean_up(work: Path, *, keep: bool) -> None:
    """Remove the work of this replay, or if it is kept that of replays with other data."""
    if not keep:
        shutil.rmtree(work, ignore_errors=True)
        return
    for folder in work.parent.iterdir():
        if folder != work and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
