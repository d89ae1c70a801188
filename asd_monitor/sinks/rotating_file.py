"""A file of lines that is appended to and rotated, by the program itself or by another one."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import SinkError
from asd_monitor.storage.durable import sync_folder

logger = logging.getLogger(__name__)

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a new file is begun, and how many old ones are kept."""

    max_bytes: int
    """A file never grows beyond this, unless a single line is longer."""
    max_age_s: float
    """A file never spans more than this; the periods are counted from the epoch, in UTC."""
    kept: int
    """Number of old files: ``<path>.1`` is the newest of them."""


class RotatingFile:
    """Append whole lines to a file, of which this process is the only writer.

    A line goes to the file that is at the path when it is written: if another program has moved,
    replaced or deleted the file, a new one is begun; if it has truncated the file, lines are
    appended after what is left. The file is locked (``flock``), so that two monitors cannot write
    to it.

    Parameters
    ----------
    path
        The file; its folder must exist.
    rotation
        When old lines are moved to ``<path>.1``, and older ones to ``<path>.2`` ...
    setting
        The setting that names the file, for error messages.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        rotation: Rotation,
        *,
        setting: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._rotation = rotation
        self._setting = setting
        self._clock = clock
        self._handle: int | None = None
        self._written_at = 0.0
        self._rotation_fails = False

    def open(self) -> None:
        """Open the file; on a full disk, that is left to :meth:`append`.

        Raises
        ------
        SinkError
            If it cannot be opened for appending, or another process writes to it.
        """
        if self.path.exists() and not self.path.is_file():
            msg = f"{self._setting}: {self.path}: expected a regular file; choose another path"
            raise SinkError(msg)
        try:
            self._open()
        except BlockingIOError as error:
            msg = (
                f"{self._setting}: another process writes to {self.path}; "
                "give each monitor a file of its own"
            )
            raise SinkError(msg) from error
        except OSError as error:
            if error.errno in _NO_SPACE:
                logger.warning("%s: %s; opened later", self.path, error.strerror)
                return
            msg = f"{self._setting}: cannot append to {self.path}: {error.strerror}"
            raise SinkError(msg) from error

    def append(self, line: bytes) -> None:
        """Append a line, which ends with a line feed; rotate before it if it is time.

        Raises
        ------
        OSError
            If it cannot be written. Nothing of it is left in the file; later lines can be.
        """
        handle = self._current()
        size = os.fstat(handle).st_size
        if size and self._is_due(size + len(line)):
            handle = self._rotate(handle)
        written = os.write(handle, line)
        if written != len(line):
            # Not to the size before: another program may have truncated the file meanwhile.
            os.ftruncate(handle, max(0, os.fstat(handle).st_size - written))
            raise OSError(f"only {written} of {len(line)} bytes could be written")
        self._written_at = self._clock()

    def sync(self) -> None:
        """Put what was appended on the disk; raise OSError if that fails."""
        if self._handle is not None:
            os.fdatasync(self._handle)

    def close(self) -> None:
        """Put what was appended on the disk, and close the file; may be called twice."""
        if self._handle is not None:
            with suppress(OSError):  # the lines were counted when they were appended
                self.sync()
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        handle = os.open(
            self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
        )
        try:
            _lock(handle)
            status = os.fstat(handle)
            if status.st_size and os.pread(handle, 1, status.st_size - 1) != b"\n":
                os.write(handle, b"\n")  # a power failure has cut the last line
            sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            raise
        self.close()
        self._handle = handle
        self._written_at = status.st_mtime
        return handle

    def _current(self) -> int:
        """Return the open file, opened again if it is not the one at the path any more."""
        if self._handle is None:
            return self._open()
        try:
            at_path = self.path.stat()
        except FileNotFoundError:
            return self._open()
        opened = os.fstat(self._handle)
        if (at_path.st_dev, at_path.st_ino) == (opened.st_dev, opened.st_ino):
            return self._handle
        return self._open()

    def _is_due(self, size: int) -> bool:
        if size > self._rotation.max_bytes:
            return True
        age_s = self._rotation.max_age_s
        return self._clock() // age_s > self._written_at // age_s

    def _rotate(self, handle: int) -> int:
        """Move the files by one number; if that fails, continue with the present one."""
        try:
            self._move_files()
        except OSError as error:
            if not self._rotation_fails:
                logger.warning("%s cannot be rotated: %s", self.path, error)
            self._rotation_fails = True
            return handle
        self._rotation_fails = False
        return self._open()

    def _move_files(self) -> None:
        """Free the number 1, and move the present file there.

        Only the files before the first gap are moved, and the oldest file is replaced, never
        deleted first: an interruption at any point loses nothing.
        """
        numbers = range(1, self._rotation.kept + 1)
        free = next((n for n in numbers if not self._numbered(n).exists()), self._rotation.kept)
        for number in range(free, 1, -1):
            self._numbered(number - 1).replace(self._numbered(number))
        self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _lock(handle: int) -> None:
    """Lock an open file; raise BlockingIOError if another process, or another sink, has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
            raise
