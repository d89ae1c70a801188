"""Reload the configuration of a running monitor, in a thread that neither captures nor scores."""

import logging
import threading
import time
from collections.abc import Callable

from asd_monitor.config import Config
from asd_monitor.errors import AsdMonitorError
from asd_monitor.runtime.builder import MonitorHandle
from asd_monitor.runtime.reconfiguration import Reconfiguration
from asd_monitor.telemetry.reload_result import ReloadResult

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0


class Reloader:
    """Reload the configuration whenever that is requested.

    Requests that arrive during a reload cause one more reload after it.

    Parameters
    ----------
    handle
        The monitor.
    load
        Return the settings as the configuration has them now; raise ConfigError if it is not
        valid.
    accept
        Called with the settings once they are used.
    requested
        Set to request a reload.
    """

    def __init__(
        self,
        handle: MonitorHandle,
        load: Callable[[], Config],
        accept: Callable[[Config], None] = lambda _config: None,
        requested: threading.Event | None = None,
    ) -> None:
        self._handle = handle
        self._load = load
        self._accept = accept
        self._requested = requested or threading.Event()
        self._closing = False
        self._on_begin: Callable[[], None] = lambda: None
        self._on_end: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self, on_begin: Callable[[], None], on_end: Callable[[], None]) -> None:
        """Start the thread, which calls the functions around each reload."""
        self._on_begin, self._on_end = on_begin, on_end
        self._thread.start()

    def close(self) -> None:
        """End the thread, after a reload in progress; may be called twice."""
        self._closing = True
        self._requested.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            self._requested.wait()
            self._requested.clear()
            if self._closing:
                return
            self._on_begin()
            try:
                self.reload()
            except Exception:  # the thread's top: a fault here must not end it
                logger.exception("the configuration cannot be reloaded")
                self._note(ReloadResult(time.time(), problems=("an internal error",)))
            if not self._closing:
                self._on_end()

    def reload(self) -> ReloadResult:
        """Load the settings, and use what has changed between two windows.

        If they are not valid, nothing is changed.
        """
        machines = self._handle.machines
        with machines.lock:
            changes: tuple[str, ...] = ()
            needs_restart, problems = machines.needs_restart, tuple[str, ...]()
            try:
                new = self._load()
                work = Reconfiguration(machines, self._handle.history, new)
                work.apply()
                changes, problems = tuple(work.changes), tuple(work.problems)
                needs_restart = machines.needs_restart
                self._accept(new)
            except AsdMonitorError as error:
                problems = (str(error),)
        result = ReloadResult(time.time(), changes, needs_restart, problems)
        self._note(result)
        level = logging.INFO if result.is_successful else logging.ERROR
        logger.log(level, "the configuration was %s: %s", result.title, result.describe())
        return result

    def _note(self, result: ReloadResult) -> None:
        self._handle.metrics.reload.observe(result)
        self._handle.machines.tracker.note_reload(result)
