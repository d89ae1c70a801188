"""Worker processes: the cores they may use, who interrupts them, and when they end."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType

WORKERS_PER_GPU = 2
"""Processes that score on a GPU at the same time; each takes its own context of some 0.5 GB."""


_OWN_GROUP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return the number of cores that this process may use, by affinity and quota, at least 1.

    A quota is ``CPUQuota=`` of systemd, or the processors of a container (control groups 2).
    """
    cores = len(os.sched_getaffinity(0))
    quota = _read_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _read_quota() -> float | None:
    """Return the cores that the control groups of this process grant; None: there is no limit."""
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return None
    folder = _GROUPS / path.lstrip("/")
    limits = [_read_limit(each / "cpu.max") for each in (folder, *folder.parents)]
    return min((limit for limit in limits if limit is not None), default=None)


def _read_limit(file: Path) -> float | None:
    """Return the cores of a ``cpu.max``; None for ``max``, or where there is none."""
    try:
        quota_us, period_us = file.read_text(encoding="ascii").split()
        return int(quota_us) / int(period_us)
    except (OSError, ValueError, ZeroDivisionError):
        return None


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
