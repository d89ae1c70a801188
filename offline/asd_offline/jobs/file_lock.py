"""A file whose lock keeps other processes of the same kind out of a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_monitor.errors import AsdMonitorError


@contextmanager
def held(path: Path, error: type[AsdMonitorError], taken: str) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there.

    Parameters
    ----------
    path
        Of the file.
    error
        Raised if another process holds it, with ``taken`` as its message; or if it cannot be
        written or locked, as on some network file systems.
    taken
        What to say where another process holds it.
    """
    try:
        opened = path.open("w", encoding="ascii")
    except OSError as failure:
        msg = f"{path}: cannot be written: {failure.strerror}; choose another folder"
        raise error(msg) from failure
    with opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as failure:
            raise error(taken) from failure
        except OSError as failure:
            msg = f"{path}: cannot be locked: {failure.strerror}; choose a folder on a local disk"
            raise error(msg) from failure
        yield
