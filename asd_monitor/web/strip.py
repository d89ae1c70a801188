"""The states of a machine over time, as a drawing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asd_monitor.history.records import StateSpan
from asd_monitor.records import State
from asd_monitor.web.formats import STATE_WORDS, format_duration

WIDTH = 1000.0
MIN_WIDTH = {State.ALARM: 6.0, State.WARNING: 6.0}
"""Least width of states that must not be overlooked."""


@dataclass(frozen=True, slots=True)
class Part:
    """A time in one state: position and width, of 1000 in all."""

    x: float
    width: float
    state: State


@dataclass(frozen=True, slots=True)
class Strip:
    """The states of a time."""

    parts: tuple[Part, ...]
    summary: str
    """The same in words."""


def make_strip(spans: Iterable[StateSpan], from_s: float, to_s: float) -> Strip:
    """Return the states of a time; urgent ones are drawn last, over the others."""
    length_s, seconds = to_s - from_s, dict[State, float]()
    parts = []
    for span in spans:
        begin_s = max(span.from_s, from_s)
        end_s = min(to_s if span.to_s is None else span.to_s, to_s)
        if end_s < begin_s:
            continue
        seconds[span.state] = seconds.get(span.state, 0.0) + end_s - begin_s
        width = max(WIDTH * (end_s - begin_s) / length_s, MIN_WIDTH.get(span.state, 0.0))
        x = min(WIDTH * (begin_s - from_s) / length_s, WIDTH - width)
        parts.append(Part(round(x, 2), round(width, 2), span.state))
    order = list(reversed(STATE_WORDS))
    parts.sort(key=lambda part: order.index(part.state))
    return Strip(tuple(parts), summarise(seconds))


def summarise(seconds: Mapping[State, float]) -> str:
    """Return the time in each state in words, the most urgent first."""
    words = [
        f"{STATE_WORDS[state].lower()} {format_duration(seconds[state])}"
        for state in STATE_WORDS
        if seconds.get(state, 0) >= 1
    ]
    return ", ".join(words) or "nothing recorded"
