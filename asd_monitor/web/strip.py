"""The states and modes of a machine over time, as drawings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asd_monitor.history.records import ModeSpan, StateSpan
from asd_monitor.history.times import sum_times
from asd_monitor.records import State
from asd_monitor.terminal.durations import format_duration
from asd_monitor.web.formats import STATE_WORDS

WIDTH = 1000.0
MIN_WIDTH = {State.ALARM: 6.0, State.WARNING: 6.0}
"""Least width of states that must not be overlooked."""


MAX_GAP = 0.5
"""Times in the same state with less than this between them are drawn as one."""


@dataclass(frozen=True, slots=True)
class Part:
    """All times in one state."""

    state: State
    intervals: tuple[tuple[float, float], ...]
    """Begin and end of each, of 1000 in all."""

    @property
    def path(self) -> str:
        """The intervals as rectangles of height 10, as an SVG path."""
        return _path(self.intervals)


@dataclass(frozen=True, slots=True)
class Strip:
    """The states of a time."""

    parts: tuple[Part, ...]
    """Urgent states are drawn last, over the others."""
    summary: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class ModeStrip:
    """All times in one mode."""

    mode: str
    path: str
    """Rectangles of height 10, of 1000 in all, as an SVG path."""
    summary: str
    """How long they are, in words."""


def make_mode_strips(spans: Sequence[ModeSpan], from_s: float, to_s: float) -> list[ModeStrip]:
    """Return a drawing for each mode, the one with the most time first."""
    seconds = sum_times(((span.mode, span) for span in spans), from_s, to_s)
    intervals: dict[str, list[tuple[float, float]]] = {mode: [] for mode in seconds}
    scale = WIDTH / (to_s - from_s)
    for span in spans:
        begin_s = max(span.from_s, from_s)
        end_s = to_s if span.to_s is None else min(span.to_s, to_s)
        if end_s > begin_s:
            _add(intervals[span.mode], scale * (begin_s - from_s), scale * (end_s - begin_s))
    ordered = sorted(seconds, key=lambda mode: -seconds[mode])
    return [
        ModeStrip(mode, _path(intervals[mode]), format_duration(seconds[mode])) for mode in ordered
    ]


def _add(drawn: list[tuple[float, float]], begin: float, width: float) -> None:
    """Append an interval, or extend the last one by it where there is little between them."""
    if drawn and drawn[-1][0] <= begin <= drawn[-1][1] + MAX_GAP:
        drawn[-1] = (drawn[-1][0], max(drawn[-1][1], begin + width))
    else:
        drawn.append((begin, begin + width))


def _path(intervals: Iterable[tuple[float, float]]) -> str:
    return "".join(f"M{begin:.6g} 0H{end:.6g}V10H{begin:.6g}z" for begin, end in intervals)


def make_strip(spans: Iterable[StateSpan], from_s: float, to_s: float) -> Strip:
    """Return the states of a time, from spans in order of time."""
    scale, seconds = WIDTH / (to_s - from_s), dict[State, float]()
    intervals: dict[State, list[tuple[float, float]]] = {}
    for span in spans:
        begin_s = max(span.from_s, from_s)
        end_s = to_s if span.to_s is None or span.to_s > to_s else span.to_s
        if end_s < begin_s:
            continue
        seconds[span.state] = seconds.get(span.state, 0.0) + end_s - begin_s
        width = max(scale * (end_s - begin_s), MIN_WIDTH.get(span.state, 0.0))
        begin = min(scale * (begin_s - from_s), WIDTH - width)
        _add(intervals.setdefault(span.state, []), begin, width)
    parts = [Part(state, tuple(intervals[state])) for state in STATE_WORDS if state in intervals]
    return Strip(tuple(reversed(parts)), summarise(seconds))


def summarise(seconds: Mapping[State, float]) -> str:
    """Return the time in each state in words, the most urgent first."""
    words = [
        f"{STATE_WORDS[state].lower()} {format_duration(seconds[state])}"
        for state in STATE_WORDS
        if seconds.get(state, 0) >= 1
    ]
    return ", ".join(words) or "nothing recorded"
