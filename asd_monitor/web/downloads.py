"""Files that are made for a download, and removed after it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from asd_monitor.errors import StateError
from asd_monitor.history.backup import FOLDERS
from asd_monitor.web.formats import format_bytes


def make_download(name: str, suffix: str, write: Callable[[Path], object]) -> Response:
    """Return a file that a function writes, as a download; it is removed when it has been sent.

    Parameters
    ----------
    name, suffix
        Name of the file, before and after its date.
    write
        Writes the file.

    Raises
    ------
    StateError
        If the file cannot be written.
    """
    folder = Path(tempfile.mkdtemp(prefix="asd-monitor-download-"))
    path = folder / f"{name}-{time.strftime('%Y-%m-%d-%H%M%S')}{suffix}"
    try:
        write(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    removal = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, filename=path.name, background=removal)


def check_room_for_backup(root: Path, history_bytes: int) -> None:
    """Raise StateError if the temporary folder has no room for a backup of a state folder."""
    needed = history_bytes + sum(size_of(root / name) for name in FOLDERS)
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if 2 * needed > free:
        msg = (
            f"the backup needs up to {format_bytes(2 * needed)} in {folder}, which has "
            f"{format_bytes(free)} left; write it elsewhere with `asd-monitor backup FILE`"
        )
        raise StateError(msg)


def size_of(folder: Path) -> int:
    """Return the size of the files in a folder and its subfolders."""
    return sum(_sizes(folder.rglob("*"))) if folder.is_dir() else 0


def _sizes(paths: Iterable[Path]) -> Iterable[int]:
    for path in paths:
        try:
            yield path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # removed by the monitor meanwhile
            continue
