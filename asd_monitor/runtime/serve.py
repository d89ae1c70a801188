"""Run an assembled monitor until its end: signals, duration, systemd's watchdog."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from asd_monitor.records import SourceState
from asd_monitor.runtime.builder import MonitorHandle
from asd_monitor.runtime.systemd import Notifier
from asd_monitor.telemetry.status import MonitorStatus

logger = logging.getLogger(__name__)

CHECK_S = 5.0
"""How often the watchdog is fed and systemd told how things are."""
ASK_S = 0.5


def serve(
    handle: MonitorHandle,
    stop: threading.Event,
    *,
    duration_s: float | None = None,
    environ: Mapping[str, str] = os.environ,
    is_done: Callable[[], bool] | None = None,
) -> None:
    """Start the monitor, keep it until told to stop, its end, or ``duration_s``; then stop it.

    Parameters
    ----------
    handle
        The monitor; closed on return.
    stop
        Ends the run when set; one that is set already lets nothing start. It is set, too, when
        the run ends by itself.
    duration_s
        Longest time to run, in seconds; None for no limit.
    environ
        Where systemd's socket is looked up.
    is_done
        Asked twice a second where given; True ends the run.

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
            notifier.ready(_status_line(handle.status()))
            _watch(handle, notifier, stop, duration_s, is_done)
    finally:
        notifier.stopping()
        handle.close()


def _watch(
    handle: MonitorHandle,
    notifier: Notifier,
    stop: threading.Event,
    duration_s: float | None,
    is_done: Callable[[], bool] | None,
) -> None:
    """Sleep until the end; the processor is for the sound."""
    started = fed_at = time.monotonic()
    feed_s = min(notifier.watchdog_interval_s or CHECK_S, CHECK_S)
    timeout_s = min(feed_s, ASK_S) if is_done else feed_s
    was_alive = True
    while not (is_done and is_done()):
        past_s = time.monotonic() - started
        left_s = float("inf") if duration_s is None else duration_s - past_s
        if stop.wait(max(0.0, min(timeout_s, left_s))) or left_s <= 0:
            break
        notifier.status(_status_line(handle.status()))
        if time.monotonic() - fed_at >= feed_s:
            fed_at = time.monotonic()
            alive = handle.monitor.is_alive()
            if alive:
                notifier.watchdog()
            elif was_alive:
                logger.error("windows are no longer consumed; the watchdog is not fed")
            was_alive = alive
    handle.monitor.wait(0.0)  # raises where it has failed


def _status_line(status: MonitorStatus) -> str:
    """Return all machines with their states: ``pump NORMAL, fan UNKNOWN (missing)``."""
    parts = []
    for name, machine in status.machines.items():
        source = SourceState.OPENING if machine.health is None else machine.health.state
        suffix = "" if source is SourceState.RUNNING else f" ({source})"
        parts.append(f"{name} {machine.state}{suffix}")
    return ", ".join(parts)
