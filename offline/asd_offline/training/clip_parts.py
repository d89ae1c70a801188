"""Parts of recordings, written once to the cache and used as clips."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from asd_monitor.errors import DatasetError, RunError
from asd_offline.datasets.clip import Clip

MIN_FREE_BYTES = 1 << 20
"""With less, a failed write means that the disk is full."""


def part_name(index: int) -> str:
    """Return the file name of a part."""
    return f"{index:04d}.wav"


def clip_parts(
    clip: Clip, folder: Path, settings: object, count: int, write: Callable[[Path], None]
) -> Iterator[Clip]:
    """Yield the parts of a clip as clips, after writing them if they are missing.

    Parameters
    ----------
    folder
        Where the parts of all clips are kept.
    settings
        Everything that the parts depend on, besides the recording.
    count
        Number of parts.
    write
        Writes all parts into the folder that it receives, see :func:`part_name`.

    Raises
    ------
    DatasetError
        If the recording cannot be read.
    RunError
        If the parts cannot be written.
    """
    parts = folder / _key(clip.path, settings)
    if not parts.is_dir():
        try:
            _write_all(clip.path, parts, write)
        except OSError as error:
            msg = f"{parts}: parts of a recording cannot be kept there: {error.strerror}"
            raise RunError(f"{msg}; choose another --cache") from error
    for index in range(count):
        name = part_name(index)
        yield replace(clip, path=parts / name, name=f"{clip.name}/{name}")


def _key(path: Path, settings: object) -> str:
    status = path.stat()
    text = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {settings}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _write_all(path: Path, parts: Path, write: Callable[[Path], None]) -> None:
    """Write all parts or none.

    They get the recording's modification time, so that cached features stay valid.
    """
    import soundfile

    parts.parent.mkdir(parents=True, exist_ok=True)
    modified_ns = path.stat().st_mtime_ns
    with tempfile.TemporaryDirectory(dir=parts.parent) as temporary:
        unfinished = Path(temporary) / "parts"
        unfinished.mkdir()
        try:
            write(unfinished)
        except soundfile.LibsndfileError as error:
            if shutil.disk_usage(parts.parent).free < MIN_FREE_BYTES:
                msg = f"{parts.parent}: the disk is full; choose another --cache"
                raise RunError(msg) from error
            raise DatasetError(f"{path}: cannot be split into clips: {error}") from error
        for part in unfinished.iterdir():
            os.utime(part, ns=(modified_ns, modified_ns))
        if not parts.exists():  # another process may have been faster
            unfinished.rename(parts)
