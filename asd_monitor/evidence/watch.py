"""Decide which sound of a machine is kept as the evidence of its event.

Positions are sample indices, as in :class:`~asd_monitor.records.AudioChunk`.
"""

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.records import UNLEARNED_RULE, ScoredWindow, State, Transition

MEMORY_S = 150.0
"""Scores are remembered for this long: longer than any clip."""
MAX_CLIP_S = 85.0
"""A clip is cut when it is this long, before the ring overwrites its beginning."""
MAX_QUIET_WINDOWS = 5
"""Windows that counted belong to the same trouble if at most this many quiet ones lie between."""


class Part(StrEnum):
    """Which part of an event's evidence is to be made."""

    OPENING = "opening"
    """The clip around the beginning of the event."""
    EXTENSION = "extension"
    """The clip again, with the sound up to a more severe state."""
    REPEAT = "repeat"
    """A further clip of an event that lasts."""
    END = "end"
    """The event has ended; its newest sound shows when the sound became normal again."""


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """The score of a window."""

    start: int
    end: int
    at_s: float
    """When its last sample was captured, in seconds since the epoch."""
    value: float | None
    threshold: float | None
    normal_range: float | None
    counts: bool
    """Whether it was beyond a limit of the alarm, or belongs to a shift that was."""

    @property
    def is_above(self) -> bool:
        """Whether the score itself was above a limit.

        A window between two parts of a trouble that comes and goes counts, but is not above.
        """
        limits = [limit for limit in (self.threshold, self.normal_range) if limit is not None]
        return self.value is not None and bool(limits) and self.value > min(limits)


@dataclass(frozen=True, slots=True)
class Request:
    """Evidence that is to be made."""

    part: Part
    machine: str
    event_id: str
    start: int
    end: int
    points: tuple[ScorePoint, ...]
    """The scores from ``start`` on, oldest first."""
    last_counted_end: int
    """End of the last window that counted so far."""
    state: State
    """The most severe state so far."""
    opened_s: float
    """When the event began, in seconds since the epoch."""
    closed_s: float | None = None
    """When it ended; None while it lasts."""
    last_counted_s: float | None = None
    """When the last window that counted in this run was captured, in seconds since the epoch."""
    repeat: int = 0
    """Number of the repeat, from 1."""


class Watch:
    """Follow one machine, and request evidence when the sound for it is complete.

    Parameters
    ----------
    machine
        Name of the machine.
    settings
        Lengths of clips.
    sample_rate_hz
        Sample rate of the sound.

    Attributes
    ----------
    sample_rate_hz
        The same.
    """

    def __init__(self, machine: str, settings: EvidenceSettings, sample_rate_hz: int) -> None:
        self._machine = machine
        self._settings = settings
        self.sample_rate_hz = sample_rate_hz
        self._points: deque[ScorePoint] = deque()
        self._event_id = ""
        self._state = State.UNKNOWN
        self._opened_s = 0.0
        self._closed_s: float | None = None
        self._clip_start = 0
        self._cut_end = 0
        self._pending_end: int | None = None
        self._has_opening = False
        self._repeats = 0
        self._last_counted_end = 0
        self._last_counted_s: float | None = None

    def add(self, window: ScoredWindow, window_samples: int) -> None:
        """Take the score of a window into account."""
        score, decision = window.score, window.decision
        end = score.window_start + window_samples
        counts = decision.verdict.exceeds or decision.shift_s > 0
        point = ScorePoint(
            score.window_start,
            end,
            score.captured_at,
            score.value,
            score.threshold,
            decision.normal_range,
            counts,
        )
        self._points.append(point)
        limits = [limit.value for limit in decision.limits]
        # A shift is known by a median, which lags behind: this window may be normal again.
        if counts and not (limits and score.value is not None and score.value <= min(limits)):
            self._last_counted_end = max(self._last_counted_end, end)
            self._last_counted_s = score.captured_at
        if decision.shift_s > 0:
            self._mark_shift(end - round(decision.shift_s * self.sample_rate_hz))
        while self._points and self._points[0].end < end - MEMORY_S * self.sample_rate_hz:
            self._points.popleft()

    def change(self, transition: Transition, newest: int) -> list[Request]:
        """Take a change of state into account; ``newest`` is the end of the sound so far."""
        if not transition.event_id:
            return []
        requests = []
        if transition.event_id != self._event_id:
            self._open(transition, newest)
        elif transition.state is State.ALARM and self._state is not State.ALARM:
            requests = self._extend(newest)
        elif transition.rule == UNLEARNED_RULE and self._state is not State.ALARM:
            self._prolong()
        if self._state is not State.ALARM:
            self._state = transition.state if transition.state is State.ALARM else State.WARNING
        if transition.closes_event:
            self._closed_s = transition.captured_at
            requests += self.flush(newest)
            start = max(self._clip_start, newest - round(MAX_CLIP_S * self.sample_rate_hz))
            requests.append(self._request(Part.END, start, newest))
            self._event_id = ""
        return requests

    def due(self, newest: int) -> list[Request]:
        """Return what can be made now that there is sound up to ``newest``."""
        if not self._event_id:
            return []
        if self._pending_end is not None:
            too_long = newest - self._clip_start >= MAX_CLIP_S * self.sample_rate_hz
            if newest < self._pending_end and not (too_long and not self._has_opening):
                return []
            return self.flush(newest)
        interval = round(60 * self._settings.repeat_minutes * self.sample_rate_hz)
        if self._repeats < self._settings.max_repeats and newest - self._cut_end >= interval:
            self._repeats += 1
            self._cut_end = newest
            start = newest - round(self._settings.after_s * self.sample_rate_hz)
            return [self._request(Part.REPEAT, start, newest)]
        return []

    def flush(self, newest: int) -> list[Request]:
        """Return the pending clip as far as there is sound; no more of it may follow."""
        if self._pending_end is None:
            return []
        end = min(self._pending_end, newest)
        part = Part.EXTENSION if self._has_opening else Part.OPENING
        self._pending_end, self._has_opening, self._cut_end = None, True, end
        return [self._request(part, self._clip_start, end)]

    def _open(self, transition: Transition, newest: int) -> None:
        first = self._first_counted(newest)
        self._event_id = transition.event_id
        self._state = State.WARNING
        self._opened_s, self._closed_s = transition.captured_at, None
        self._clip_start = max(0, first - round(self._settings.before_s * self.sample_rate_hz))
        self._has_opening = False
        self._repeats = 0
        self._last_counted_end = max(self._last_counted_end, first)
        self._pending_end = self._end_of_window(newest) + self._after_samples()

    def _prolong(self) -> None:
        """Let the clip be as long as possible: a person may confirm it as a mode to be learned."""
        if self._pending_end is not None:
            self._pending_end = self._clip_start + round(MAX_CLIP_S * self.sample_rate_hz)

    def _extend(self, newest: int) -> list[Request]:
        """Keep the sound of a more severe state too, if it follows that of the clip."""
        end = self._end_of_window(newest) + self._after_samples()
        if self._pending_end is not None or end - self._cut_end <= MAX_CLIP_S * self.sample_rate_hz:
            self._pending_end = end
        else:
            self._repeats += 1
            self._cut_end = newest
            return [self._request(Part.REPEAT, newest - self._after_samples(), newest)]
        return []

    def _request(self, part: Part, start: int, end: int) -> Request:
        points = tuple(point for point in self._points if point.end > start and point.start < end)
        return Request(
            part,
            self._machine,
            self._event_id,
            start,
            end,
            points,
            self._last_counted_end,
            self._state,
            self._opened_s,
            self._closed_s,
            self._last_counted_s,
            self._repeats,
        )

    def _first_counted(self, newest: int) -> int:
        """Return where the newest series of windows that counted begins."""
        first, quiet = newest, 0
        for point in reversed(self._points):
            if point.counts:
                first, quiet = point.start, 0
            else:
                quiet += 1
                if quiet > MAX_QUIET_WINDOWS:
                    break
        return first

    def _mark_shift(self, since: int) -> None:
        """Let all windows of a lasting rise count, since it is known only afterwards."""
        for index in range(len(self._points) - 1, -1, -1):
            point = self._points[index]
            if point.start < since:
                break
            if not point.counts:
                self._points[index] = replace(point, counts=True)

    def _end_of_window(self, newest: int) -> int:
        return self._points[-1].end if self._points else newest

    def _after_samples(self) -> int:
        return round(self._settings.after_s * self.sample_rate_hz)
