"""Notice that the wall clock cannot be trusted: it was set back, or nothing synchronises it."""

import ctypes
import logging
import time
from collections.abc import Callable

from asd_monitor.telemetry.clock_steps import ClockSteps, boot_time_s
from asd_monitor.telemetry.series_factory import SeriesFactory

CHECK_INTERVAL_S = 1.0
TIMEX_BYTES = 256
"""More than the size of the kernel's ``struct timex``; all zeros only reads the clock's state."""
TIME_ERROR = 5
"""Return value of ``adjtimex(2)`` for a clock that is not synchronised."""

logger = logging.getLogger(__name__)


def is_kernel_synchronised() -> bool | None:
    """Return whether the kernel's clock is synchronised; None if the kernel does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else bool(state != TIME_ERROR)


class ClockWatch:
    """Watch the wall clock; used by one thread.

    Parameters
    ----------
    factory
        Makes the series.
    wall
        Seconds since the epoch.
    steady
        A clock that never jumps, in seconds.
    synchronised
        Whether the clock is synchronised; None if that is not known.

    Attributes
    ----------
    is_unsynced
        Whether times of now may be wrong: the clock is not synchronised, or it was set back and
        shows times again that it has shown before.
    """

    def __init__(
        self,
        factory: SeriesFactory,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = boot_time_s,
        synchronised: Callable[[], bool | None] = is_kernel_synchronised,
    ) -> None:
        self.is_unsynced = False
        self._wall = wall
        self._steady = steady
        self._synchronised = synchronised
        self._steps = ClockSteps(wall, steady)
        self._latest_s = wall()
        self._checked_at_s = float("-inf")
        self._was_synchronised: bool | None = True
        self._gauge = factory.gauge(
            "asd_clock_unsynced",
            "1 while the system clock is not synchronised, or repeats times after it was set back.",
        )
        self._set = factory.counter(
            "asd_clock_steps_total", "How often the system clock was set by a second or more.",
            "direction",
        )  # fmt: skip
        for direction in ("back", "forward"):
            self._set.labels(direction)

    def check(self) -> bool:
        """Return whether times of now may be wrong; looks at the clock once a second."""
        if self._steady() - self._checked_at_s < CHECK_INTERVAL_S:
            return self.is_unsynced
        self._checked_at_s = self._steady()
        self._note_step(self._steps.take_step_s())
        now_s = self._wall()
        self._latest_s = max(self._latest_s, now_s)
        synchronised = self._synchronised()
        if synchronised is not self._was_synchronised:
            state = "synchronised again" if synchronised else "not synchronised"
            if synchronised is not None:
                logger.info("the system clock is %s", state)
            self._was_synchronised = synchronised
        self.is_unsynced = synchronised is False or now_s < self._latest_s
        self._gauge.set(self.is_unsynced)
        return self.is_unsynced

    def _note_step(self, step_s: float) -> None:
        if step_s == 0:
            return
        direction = "back" if step_s < 0 else "forward"
        self._set.labels(direction).inc()
        logger.warning(
            "the system clock was set %s by %.0f s; times of before do not fit those of now",
            direction,
            abs(step_s),
        )
