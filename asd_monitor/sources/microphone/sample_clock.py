"""Frames received against the monotonic clock: when a frame was captured, and what was lost.

The *lag* of a callback is the number of frames that the clock says should have come, less those
that came. Callbacks are bursty and may be late, so a single lag says little; but the lower
envelope of the lag stays put while nothing is lost, creeps with the device's clock (parts per
million), and steps up by exactly the number of frames that were lost. The driver's flags only
tell where to look.
"""

from collections import deque
from dataclasses import dataclass

BIN_S = 2.0
RATE_SPAN_S = 20.0
"""A rate is told once it was watched for so long; a late callback of 10 ms is then 0.05 %."""
STEP_S = 0.05
"""An unexplained step of the envelope is loss from here on: twice what a clock that lies by
1 % makes in one bin."""
GAP_STEP_S = 0.02
FLAGGED_STEP_S = 0.004
LONGEST_SUSPICION_S = 3.0
AHEAD_S = 3.0
AHEAD_SPAN_S = 60.0
"""So far back, and up to twice as far, is looked for too much audio: in that time a clock that is
fast by 1 % gains less than half of what counts. Since the opening, 0.01 % would do within a day."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames are missing before ``frame``."""

    frame: int
    """Index among the frames that were received."""
    lost_frames: int


@dataclass(slots=True)
class _Suspicion:
    first_frame: int
    until_s: float
    deadline_s: float
    least_step_s: float
    lag: float = float("inf")


class SampleClock:
    """Follow one open stream.

    Parameters
    ----------
    rate_hz
        The rate at which the device was opened.
    opened_s
        Monotonic time at which the stream was started.
    latency_s
        The device's buffer: a callback later than this may have lost audio.
    resumed
        True where audio came before, from an earlier stream: then the first frames are held back
        until it is certain enough when they were captured.
    """

    def __init__(self, rate_hz: int, opened_s: float, latency_s: float, *, resumed: bool) -> None:
        self.rate_hz = rate_hz
        self._opened_s = opened_s
        self._gap_s = 0.25 + 0.5 * latency_s
        self._settle_s = 0.3 + 0.5 * latency_s
        self._frames = 0
        self._last_s: float | None = None
        self._lost = 0
        self._base = float("inf")
        self._bin_lag = float("inf")
        self._bin_point = (opened_s, 0)
        self._bin_end_s = opened_s + BIN_S
        self._points: deque[tuple[float, int]] = deque(maxlen=round(60 / BIN_S))
        self._cuts: list[Cut] = []
        self._resumed = resumed
        self._suspicion: _Suspicion | None = None
        self._ahead_from = self._earliest = (opened_s, 0)
        self._span_end_s = opened_s + AHEAD_SPAN_S

    def observe(self, frames: int, at_s: float, *, overflow: bool) -> None:
        """Take one callback into account: ``frames`` had come in all by monotonic ``at_s``."""
        first, before_s = self._frames, self._last_s
        self._frames, self._last_s = frames, at_s
        self._note_pace(at_s)
        late = before_s is not None and at_s - before_s > self._gap_s
        starting = before_s is None and self._resumed
        if overflow or late or starting:
            self._suspect(first, at_s, FLAGGED_STEP_S if overflow else GAP_STEP_S)
        lag = (at_s - self._opened_s) * self.rate_hz - (frames + self._lost)
        if self._suspicion is not None:
            self._suspicion.lag = min(self._suspicion.lag, lag)
            if at_s >= min(self._suspicion.until_s, self._suspicion.deadline_s):
                self._settle(self._suspicion)
            return
        if lag < self._bin_lag:
            self._bin_lag, self._bin_point = lag, (at_s, frames)
        if at_s >= self._bin_end_s:
            self._end_bin(at_s)

    def _note_pace(self, at_s: float) -> None:
        """Keep the callback of each span that came earliest for its frames, to compare with."""
        if at_s >= self._span_end_s:
            self._span_end_s = at_s + AHEAD_SPAN_S
            self._ahead_from, self._earliest = self._earliest, (at_s, self._frames)
        elif self._gained(self._earliest, at_s) > 0:
            self._earliest = (at_s, self._frames)

    def _gained(self, since: tuple[float, int], at_s: float) -> float:
        """Frames that came since a callback beyond those that the time since then explains."""
        return self._frames - since[1] - (at_s - since[0]) * self.rate_hz

    def _suspect(self, first: int, at_s: float, least_step_s: float) -> None:
        """Hold back from ``first`` on until the envelope is known again."""
        # Where the driver tells of no loss, a busy computer is as likely as a lost one.
        flagged = least_step_s == FLAGGED_STEP_S
        until_s = at_s + self._settle_s * (1 if flagged or self._base == float("inf") else 2)
        if self._suspicion is None:
            deadline_s = at_s + LONGEST_SUSPICION_S
            self._suspicion = _Suspicion(first, until_s, deadline_s, least_step_s)
        else:
            self._suspicion.until_s = until_s
            self._suspicion.lag = float("inf")
            self._suspicion.least_step_s = min(least_step_s, self._suspicion.least_step_s)

    def _settle(self, suspicion: _Suspicion) -> None:
        self._suspicion = None
        base = self._envelope()
        if base == float("inf"):
            self._bin_lag = suspicion.lag
            return
        step = suspicion.lag - base
        if step > suspicion.least_step_s * self.rate_hz:
            self._lose(suspicion.first_frame, round(step))

    def _end_bin(self, at_s: float) -> None:
        """Compare a bin's lowest lag with that of the bin before it."""
        if self._base != float("inf") and self._bin_lag - self._base > STEP_S * self.rate_hz:
            lag = self._bin_lag
            lost = round(lag - self._base)
            self._lose(self._frames, lost)
            self._base = lag - lost
        else:
            self._base = self._bin_lag
            self._points.append(self._bin_point)
        self._bin_lag = float("inf")
        self._bin_end_s = at_s + BIN_S

    def _lose(self, frame: int, lost: int) -> None:
        self._lost += lost
        self._cuts.append(Cut(frame, lost))
        self._points.clear()

    def _envelope(self) -> float:
        return min(self._base, self._bin_lag)

    @property
    def frames(self) -> int:
        """How many frames were received."""
        return self._frames

    @property
    def certain_frames(self) -> int:
        """How many of the received frames can be placed; those after them wait."""
        return self._frames if self._suspicion is None else self._suspicion.first_frame

    @property
    def running_ahead(self) -> bool:
        """True where far more audio came than time has passed: not a live device."""
        if self._last_s is None:
            return False
        return self._gained(self._ahead_from, self._last_s) > AHEAD_S * self.rate_hz

    @property
    def measured_rate_hz(self) -> float | None:
        """Frames per second of the clock; None until it was watched long enough."""
        if len(self._points) < 2:
            return None
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        if last_s - first_s < RATE_SPAN_S:
            return None
        return (last - first) / (last_s - first_s)

    def take_cuts(self) -> list[Cut]:
        """Return the losses found since the last call, in order."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def captured_s(self, position: float) -> float:
        """Return the monotonic time at which a position was captured.

        Parameters
        ----------
        position
            Received frames plus those lost before them.
        """
        envelope = self._envelope()
        if envelope == float("inf"):
            envelope = 0.0
        return self._opened_s + (position + envelope) / self.rate_hz
