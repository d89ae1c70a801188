"""Run a built monitor until its end: stop event, duration, systemd's watchdog."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from asd_monitor.processes.memory import return_freed_memory
from asd_monitor.records import SourceState
from asd_monitor.runtime.builder import MonitorHandle
from asd_monitor.runtime.reload import Reloader
from asd_monitor.runtime.systemd import Notifier
from asd_monitor.telemetry.status import MonitorStatus

logger = logging.getLogger(__name__)

WATCHDOG_INTERVAL_S = 5.0
"""systemd receives status and watchdog messages at least this often."""
POLL_INTERVAL_S = 0.5


def serve(
    handle: MonitorHandle,
    stop: threading.Event,
    *,
    duration_s: float | None = None,
    environ: Mapping[str, str] = os.environ,
    is_done: Callable[[], bool] | None = None,
    reloader: Reloader | None = None,
) -> None:
    """Start the monitor, wait for its end, ``stop`` or ``duration_s``, and stop it.

    Parameters
    ----------
    handle
        The monitor; closed on return.
    stop
        Ends the run when set; if it is already set, nothing is started. It is also set when the
        run ends by itself.
    duration_s
        Longest time to run, in seconds; None for no limit.
    environ
        Environment variables that name systemd's socket.
    is_done
        Called twice a second if given; True ends the run.
    reloader
        Reloads the configuration while the monitor runs; None: nothing does.

    Raises
    ------
    AsdMonitorError
        If the monitor cannot start, or its inference thread has failed.
    """
    notifier = Notifier.from_environment(environ)
    try:
        if not stop.is_set():
            handle.monitor.on_end(stop.set)
            handle.monitor.start()
            return_freed_memory()  # of the files of models
            notifier.ready(_format_status(handle.status()))
            if reloader is not None:
                reloader.start(
                    notifier.reloading, lambda: notifier.ready(_format_status(handle.status()))
                )
            _supervise(handle, notifier, stop, duration_s, is_done)
    finally:
        notifier.stopping()
        if reloader is not None:
            reloader.close()
        handle.close()


def _supervise(
    handle: MonitorHandle,
    notifier: Notifier,
    stop: threading.Event,
    duration_s: float | None,
    is_done: Callable[[], bool] | None,
) -> None:
    started_at = checked_at = time.monotonic()
    interval_s = min(notifier.watchdog_interval_s or WATCHDOG_INTERVAL_S, WATCHDOG_INTERVAL_S)
    timeout_s = min(interval_s, POLL_INTERVAL_S) if is_done else interval_s
    was_alive = True
    while not (is_done and is_done()):
        elapsed_s = time.monotonic() - started_at
        remaining_s = float("inf") if duration_s is None else duration_s - elapsed_s
        if stop.wait(max(0.0, min(timeout_s, remaining_s))) or remaining_s <= 0:
            break
        notifier.status(_format_status(handle.status()))
        if time.monotonic() - checked_at >= interval_s:
            checked_at = time.monotonic()
            alive = handle.monitor.is_alive()
            if alive:
                notifier.watchdog()
            elif was_alive:
                logger.error("audio is no longer consumed; the watchdog is not notified")
            was_alive = alive
    handle.monitor.wait(0.0)  # raises if the run has failed


def _format_status(status: MonitorStatus) -> str:
    """Return all machines with their states: ``pump NORMAL, fan UNKNOWN (missing)``."""
    parts = []
    for name, machine in status.machines.items():
        source = SourceState.OPENING if machine.health is None else machine.health.state
        suffix = "" if source is SourceState.RUNNING else f" ({source})"
        parts.append(f"{name} {machine.state}{suffix}")
    return ", ".join(parts)
