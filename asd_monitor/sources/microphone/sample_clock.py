r"""When a frame was captured and how many were lost, from the counts and times of callbacks.

The *lag* of a callback is the number of frames that should have arrived by then according to the
monotonic clock, minus the number that did. Callbacks come in bursts and may be late, so a single
lag says little. A late callback can only raise the lag, however, so the lower envelope of the
lag is constant while nothing is lost: it drifts with the device's clock (parts per million), and
rises by exactly the number of frames that were lost::

    lag in frames
      |                                     .       .
      |                             .       :   .   :
      |      .           .        __:___.___:___:___:__.__  envelope after the loss
      |      :   .       :   .   |                              ^
      |  .   :   :   .   :   :   |                              | frames lost
      |__:___:___:___:___:___:___|- - - - - - - - - - - - - -   v
      |  envelope               loss
      +---------------------------------------------------> time of callback

The envelope is taken as the minimum over bins of 2 s. An overflow flag of the driver, a late
callback or the start of a stream only opens a check: audio from there on is held back until
enough callbacks show whether the envelope has risen, and by how much.
"""

from collections import deque
from dataclasses import dataclass

BIN_S = 2.0
RATE_SPAN_S = 20.0
"""Minimum span of a measured rate; a callback that is 10 ms late then changes it by 0.05 %."""
STEP_S = 0.05
"""Minimum rise of the envelope from bin to bin that counts as loss when nothing has opened a
check: twice what a clock that is wrong by 1 % causes in one bin."""
GAP_STEP_S = 0.02
"""The same after a late callback, or at the start of a stream that continues an earlier one."""
FLAGGED_STEP_S = 0.004
"""The same after an overflow flag."""
MAX_CHECK_S = 3.0
AHEAD_S = 3.0
AHEAD_SPAN_S = 60.0
"""Audio ahead of real time is measured over the last one to two of these spans, in which a clock
that is fast by 1 % gains less than half of ``AHEAD_S``. Measured since the start of the stream,
a clock that is fast by 0.01 % would exceed it within a day."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A loss of frames."""

    frame: int
    """Index, among the received frames, of the first one after the loss."""
    lost_frames: int


@dataclass(slots=True)
class _PendingGap:
    """A check for a loss that has not been decided yet."""

    first_frame: int
    decide_s: float
    deadline_s: float
    min_step_s: float
    lag: float = float("inf")
    """Lowest lag since the check was opened: the new envelope."""


class SampleClock:
    """Lag envelope of one open stream.

    Parameters
    ----------
    rate_hz
        Sample rate at which the device was opened.
    opened_s
        Monotonic time at which the stream was started.
    latency_s
        Length of the device's buffer: a callback later than this may have lost audio.
    resumed
        True if an earlier stream delivered audio: the first frames are then held back until
        their time of capture is known well enough to place them.
    """

    def __init__(self, rate_hz: int, opened_s: float, latency_s: float, *, resumed: bool) -> None:
        self.rate_hz = rate_hz
        self._opened_s = opened_s
        # Callbacks come about four times per buffer, so one is late after about two periods.
        self._max_interval_s = 0.25 + 0.5 * latency_s
        self._check_s = 0.3 + 0.5 * latency_s
        self._frames = 0
        self._last_s: float | None = None
        self._lost = 0
        self._envelope_before = float("inf")  # of the previous bin
        self._bin_lag = float("inf")  # of the current bin, so far
        self._bin_point: tuple[float, int] | None = None
        self._bin_end_s = opened_s + BIN_S
        # Time and frames of the callback on the envelope, for the bins of the last minute.
        self._points: deque[tuple[float, int]] = deque(maxlen=round(60 / BIN_S))
        self._gaps: list[Gap] = []
        self._resumed = resumed
        self._pending: _PendingGap | None = None
        self._previous_earliest = self._earliest = (opened_s, 0)
        self._span_end_s = opened_s + AHEAD_SPAN_S

    def observe(self, frames: int, at_s: float, *, overflow: bool) -> None:
        """Process one callback: ``frames`` in all had been received by monotonic ``at_s``."""
        first, previous_s = self._frames, self._last_s
        self._frames, self._last_s = frames, at_s
        self._track_earliest(at_s)
        late = previous_s is not None and at_s - previous_s > self._max_interval_s
        starting = previous_s is None and self._resumed
        if overflow or late or starting:
            self._open_check(first, at_s, flagged=overflow)
        lag = (at_s - self._opened_s) * self.rate_hz - (frames + self._lost)
        if self._pending is not None:
            self._pending.lag = min(self._pending.lag, lag)
            if at_s >= min(self._pending.decide_s, self._pending.deadline_s):
                self._resolve(self._pending)
            return
        if lag < self._bin_lag:
            self._bin_lag, self._bin_point = lag, (at_s, frames)
        if at_s >= self._bin_end_s:
            self._end_bin(at_s)

    def _track_earliest(self, at_s: float) -> None:
        """Keep the callback of each span that came earliest for its frames, as a reference."""
        if at_s >= self._span_end_s:
            self._span_end_s = at_s + AHEAD_SPAN_S
            self._previous_earliest, self._earliest = self._earliest, (at_s, self._frames)
        elif self._frames_ahead(self._earliest, at_s) > 0:
            self._earliest = (at_s, self._frames)

    def _frames_ahead(self, since: tuple[float, int], at_s: float) -> float:
        """Return how many more frames came since a callback than the elapsed time explains."""
        return self._frames - since[1] - (at_s - since[0]) * self.rate_hz

    def _open_check(self, first: int, at_s: float, *, flagged: bool) -> None:
        """Hold frames back from ``first`` on until the envelope is known again."""
        min_step_s = FLAGGED_STEP_S if flagged else GAP_STEP_S
        # Without a flag, a busy computer explains a late callback as well as a loss does: its
        # callbacks get twice the time to catch up.
        has_envelope = self._envelope_before != float("inf")
        decide_s = at_s + self._check_s * (2 if has_envelope and not flagged else 1)
        if self._pending is None:
            self._pending = _PendingGap(first, decide_s, at_s + MAX_CHECK_S, min_step_s)
        else:
            self._pending.decide_s = decide_s
            self._pending.lag = float("inf")
            self._pending.min_step_s = min(min_step_s, self._pending.min_step_s)

    def _resolve(self, pending: _PendingGap) -> None:
        """Close a check: compare the lag since it was opened with the envelope before."""
        self._pending = None
        envelope = self._envelope()
        if envelope == float("inf"):
            self._bin_lag = pending.lag
            return
        step = pending.lag - envelope
        if step > pending.min_step_s * self.rate_hz:
            self._record_gap(pending.first_frame, round(step))

    def _end_bin(self, at_s: float) -> None:
        """Compare the envelope of the bin that ends with that of the bin before it."""
        step = self._bin_lag - self._envelope_before
        if self._envelope_before != float("inf") and step > STEP_S * self.rate_hz:
            lost = round(step)
            self._record_gap(self._frames, lost)
            self._envelope_before = self._bin_lag - lost
        else:
            self._envelope_before = self._bin_lag
            if self._bin_point is not None:
                self._points.append(self._bin_point)
        self._bin_lag, self._bin_point = float("inf"), None
        self._bin_end_s = at_s + BIN_S

    def _record_gap(self, frame: int, lost: int) -> None:
        self._lost += lost
        self._gaps.append(Gap(frame, lost))
        # A rate measured across the loss would be too low.
        self._points.clear()
        self._bin_point = None

    def _envelope(self) -> float:
        return min(self._envelope_before, self._bin_lag)

    @property
    def frames(self) -> int:
        """Number of frames received."""
        return self._frames

    @property
    def placed_frames(self) -> int:
        """Number of received frames whose index is known; those after them are held back."""
        return self._frames if self._pending is None else self._pending.first_frame

    @property
    def running_ahead(self) -> bool:
        """True if far more audio came than time has passed: not a live device."""
        if self._last_s is None:
            return False
        ahead = self._frames_ahead(self._previous_earliest, self._last_s)
        return ahead > AHEAD_S * self.rate_hz

    @property
    def measured_rate_hz(self) -> float | None:
        """Frames per second of the monotonic clock; None until ``RATE_SPAN_S`` have passed."""
        if len(self._points) < 2:
            return None
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        if last_s - first_s < RATE_SPAN_S:
            return None
        return (last - first) / (last_s - first_s)

    def pop_gaps(self) -> list[Gap]:
        """Return the losses found since the last call, in order."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def captured_s(self, position: float) -> float:
        """Return the monotonic time at which a position was captured.

        Parameters
        ----------
        position
            Received frames plus the frames lost before them.
        """
        envelope = self._envelope()
        if envelope == float("inf"):
            envelope = 0.0
        return self._opened_s + (position + envelope) / self.rate_hz
