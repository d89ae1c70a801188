"""For how long a machine has sounded unlike everything heard while learning."""

import math
import statistics
from collections import deque

from asd_monitor.calibration.normal_range import UsualRange, stretch_windows

WARNING_P = 1e-4
ALARM_P = 1e-5
"""Normal sound stays above its usual range for so long with this probability at most."""
WARNING_SHARE = 0.5


class LastingShift:
    """Follow the level of the newest ten seconds, the median score of their windows.

    One odd window, or a few, move no median; a fault that is there to stay moves it for good.

    Parameters
    ----------
    least_s
        A shift that lasts for less raises no alarm, and one of half the time gives no warning,
        however much is known of normal sound; 0: never.

    Attributes
    ----------
    for_s
        For how long the level has been above the usual range.
    warning_s, alarm_s
        How long a shift must last.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self.arm(None, 1, 1)

    def arm(self, usual: UsualRange | None, window_samples: int, sample_rate_hz: int) -> None:
        """Be ready for the scores of a model; None: its usual range is not known."""
        self._level = self.warning_s = self.alarm_s = math.inf
        self._window_samples = window_samples
        self._sample_rate_hz = sample_rate_hz
        window_s = window_samples / sample_rate_hz
        self._windows: deque[tuple[int, float]] = deque(maxlen=stretch_windows(window_s))
        if usual is not None and self._least_s > 0:
            self._level = usual.level
            warning_s = usual.lasting_s(WARNING_P, window_s)
            self.warning_s = max(WARNING_SHARE * self._least_s, warning_s)
            self.alarm_s = max(self._least_s, usual.lasting_s(ALARM_P, window_s))
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was heard before audio was lost proves nothing."""
        self._windows.clear()
        self._since: int | None = None
        self.for_s = 0.0

    def hear(self, value: float, window_start: int) -> None:
        """Take the score of a window into account that overlaps none before it."""
        self._windows.append((window_start, value))
        if statistics.median(each for _, each in self._windows) <= self._level:
            self._since, self.for_s = None, 0.0
            return
        if self._since is None:
            self._since = self._windows[0][0]
        end = window_start + self._window_samples
        self.for_s = (end - self._since) / self._sample_rate_hz

    @property
    def warns(self) -> bool:
        """Whether it has lasted for long enough to be told."""
        return self.for_s >= self.warning_s

    @property
    def alarms(self) -> bool:
        """Whether it has lasted for so long that chance is out of the question."""
        return self.for_s >= self.alarm_s

    @property
    def told(self) -> str:
        """What is to be said of it, for a person."""
        return (
            f"for {self.for_s:.0f} s the score has been above what was usual while learning "
            f"({self._level:.3g})"
        )
