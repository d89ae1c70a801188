"""Kill a process at a chosen one of its file events: before it opens, renames, syncs or removes."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir"})
"""Audit events that change folders; `open` counts only for writing."""
FAILED = 1


def run_killed_at(number: int, folder: Path, function: Callable[[], object]) -> bool:
    """Run a function in a forked process that SIGKILL ends at an event; return whether it did.

    Parameters
    ----------
    number
        Of the event, from 0; the process is killed before it happens, so that all before it have.
    folder
        Events of files elsewhere do not count, except that every fsync does.
    function
        What is done.
    """
    child = os.fork()
    if child == 0:
        try:
            _kill_at(number, folder)
            function()
            os._exit(0)
        except BaseException as error:
            print(f"{error!r}", file=sys.stderr)
            os._exit(FAILED)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _kill_at(number: int, folder: Path) -> None:
    """Count events from now on, and end this process before the given one."""
    left = number
    prefix, sync = str(folder), os.fsync

    def count() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def observe(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = arguments[1:]
            written = flags is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not (written or (mode and set("wax+") & set(mode))):
                return
        elif event not in EVENTS:
            return
        if str(arguments[0]).startswith(prefix):
            count()

    def fsync(fd: Any) -> None:  # noqa: ANN401 - as in os
        count()
        sync(fd)

    sys.addaudithook(observe)
    os.fsync = fsync
