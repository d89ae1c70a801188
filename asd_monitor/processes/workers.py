"""Worker processes: the cores they may use, who interrupts them, and when they end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT while processes are started: Ctrl-C then interrupts this process only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_with_parent() -> None:
    """Exit at once when the process that created the pool exits; call it first in a worker.

    This works with every start method, and if the parent has exited already. The kernel's
    ``PR_SET_PDEATHSIG`` would not: with ``forkserver`` the kernel's parent of a worker is the
    server, which lives as long as any worker.
    """
    threading.Thread(target=_exit_when_parent_dies, name="exit-with-parent", daemon=True).start()


def _exit_when_parent_dies() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
