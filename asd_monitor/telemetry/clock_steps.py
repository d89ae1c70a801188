"""Notice when the wall clock is set, so that times recorded before can be corrected."""

import time
from collections.abc import Callable

MIN_STEP_S = 1.0
"""A smaller difference is the drift and the adjustment of an ordinary clock."""


def boot_time_s() -> float:
    """Return seconds since the computer was started; never jumps, and includes suspension."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockSteps:
    """Compare the wall clock with a clock that never jumps.

    A computer without a battery-backed clock starts with a wrong time and corrects it when the
    network is up; what was recorded before has the wrong time then.

    Parameters
    ----------
    wall
        Seconds since the epoch.
    steady
        A clock that never jumps, in seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = boot_time_s,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset_s = wall() - steady()

    def take_step_s(self) -> float:
        """Return by how much the wall clock was set since the last call; 0 if it was not."""
        offset_s = self._wall() - self._steady()
        step_s = offset_s - self._offset_s
        if abs(step_s) < MIN_STEP_S:
            return 0.0
        self._offset_s = offset_s
        return step_s
