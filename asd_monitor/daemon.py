"""Run an assembled monitor until its end: signals, duration, systemd's watchdog."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from asd_monitor.assembly import Assembly
from asd_monitor.records import SourceState
from asd_monitor.service import Notifier

logger = logging.getLogger(__name__)

CHECK_S = 1.0


def serve(
    assembly: Assembly,
    stop: threading.Event,
    *,
    duration_s: float | None = None,
    environ: Mapping[str, str] = os.environ,
    on_check: Callable[[], bool] = lambda: False,
) -> None:
    """Start the monitor, keep it until told to stop, its end, or ``duration_s``; then stop it.

    Parameters
    ----------
    assembly
        The monitor; closed on return.
    stop
        Ends the run when set; one that is set already lets nothing start.
    duration_s
        Longest time to run, in seconds; None for no limit.
    environ
        Where systemd's socket is looked up.
    on_check
        Called once a second; True ends the run.

    Raises
    ------
    AsdMonitorError
        If the monitor cannot start, or its inference thread has failed.
    """
    notifier = Notifier.from_environment(environ)
    try:
        if not stop.is_set():
            assembly.monitor.start()
            notifier.ready(_status(assembly))
            _watch(assembly, notifier, stop, duration_s, on_check)
    finally:
        notifier.stopping()
        assembly.close()


def _watch(
    assembly: Assembly,
    notifier: Notifier,
    stop: threading.Event,
    duration_s: float | None,
    on_check: Callable[[], bool],
) -> None:
    started = fed_at = time.monotonic()
    interval_s = notifier.watchdog_interval_s or float("inf")
    while not stop.is_set() and not on_check():
        now = time.monotonic()
        left_s = float("inf") if duration_s is None else duration_s - (now - started)
        if left_s <= 0 or assembly.monitor.wait(max(0.0, min(CHECK_S, left_s))):
            return
        notifier.status(_status(assembly))
        if now - fed_at >= min(interval_s, 5.0):
            fed_at = now
            if assembly.monitor.is_alive():
                notifier.watchdog()
            else:
                logger.error("windows are no longer consumed; the watchdog is not fed")


def _status(assembly: Assembly) -> str:
    states = []
    for pipeline in assembly.pipelines:
        health = pipeline.source.health()
        trouble = "" if health.state is SourceState.RUNNING else f" ({health.state})"
        states.append(f"{pipeline.machine} {pipeline.state}{trouble}")
    return ", ".join(states)
