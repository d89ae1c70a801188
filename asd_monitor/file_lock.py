"""A lock file that at most one process holds at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_monitor.errors import AsdMonitorError


@contextmanager
def file_lock(
    path: Path,
    error: type[AsdMonitorError],
    taken: str,
    *,
    hint: str = "choose a folder on a local disk",
    wait: bool = False,
) -> Iterator[None]:
    """Hold the lock of a file, which is created if missing and then holds the process id.

    Parameters
    ----------
    path
        Of the lock file; its folder must exist.
    error
        Raised if another process holds the lock, or if the file cannot be written or locked,
        as on some network file systems.
    taken
        Message if another process holds the lock; ``{holder}`` becomes its process id.
    hint
        What to do if the file cannot be written or locked.
    wait
        Wait until the lock is free instead of raising ``error``.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as failure:
        msg = f"{path}: cannot be written: {failure.strerror}; {hint}"
        raise error(msg) from failure
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            _write_holder(handle)
        except BlockingIOError as failure:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise error(taken.replace("{holder}", holder)) from failure
        except OSError as failure:
            msg = f"{path}: cannot be locked: {failure.strerror}; {hint}"
            raise error(msg) from failure
        yield
    finally:
        os.close(handle)


def _write_holder(handle: int) -> None:
    """Write the id of this process into a lock file; a full disk does not prevent the lock."""
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def lock_holder(path: Path) -> str:
    """Return the id of the process that holds a lock file; empty if none does or it is unknown."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 32).decode(errors="replace").strip()
    except OSError:
        return ""
    else:
        return ""
    finally:
        os.close(handle)
