"""One thread that wakes the readers of all paced sources."""

import threading
from collections.abc import Callable

TICK_S = 0.04


class Pacing:
    """Call every added function once a tick; the thread exists while there is any.

    A source at the pace of real time computes by itself what is due; it only needs somebody to
    come and ask.

    Parameters
    ----------
    tick_s
        Seconds between calls.
    """

    def __init__(self, tick_s: float = TICK_S) -> None:
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._wakes: set[Callable[[], None]] = set()
        self._thread: threading.Thread | None = None

    def add(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` from now on."""
        with self._lock:
            self._wakes.add(wake)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pacing", daemon=True)
                self._thread.start()

    def remove(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` no more; one that is not there is no mistake."""
        with self._lock:
            self._wakes.discard(wake)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._tick_s)
            with self._lock:
                if not self._wakes:
                    self._thread = None
                    return
                wakes = list(self._wakes)
            for wake in wakes:
                wake()


PACING = Pacing()
"""Shared by the sources of a process; it has no thread before the first is opened."""
