"""Worker processes: the cores they may use, who interrupts them, and when they end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import wait
from types import FrameType

WORKERS_PER_GPU = 2
"""Processes that score on a GPU at the same time; each takes its own context of some 0.5 GB."""


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer SIGINT while processes are started: Ctrl-C then interrupts this process only.

    The processes inherit that the signal is blocked. One that arrives meanwhile is handled at the
    end, so that it is not lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    received: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if received and callable(before):
        before(*received[0])


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
