"""How long machines were in a state or a mode."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

from asd_monitor.history.records import ModeSpan


class Timed(Protocol):
    """A time with an end, or without one while it lasts."""

    @property
    def from_s(self) -> float:
        """Its beginning, in seconds since the epoch."""

    @property
    def to_s(self) -> float | None:
        """Its end; None while it lasts."""


Key = TypeVar("Key", bound=Hashable)


def sum_times(spans: Iterable[tuple[Key, Timed]], from_s: float, to_s: float) -> dict[Key, float]:
    """Return the seconds between two times that the spans of each key cover."""
    seconds: dict[Key, float] = {}
    for key, span in spans:
        end_s = to_s if span.to_s is None else min(span.to_s, to_s)
        length_s = end_s - max(span.from_s, from_s)
        if length_s > 0:
            seconds[key] = seconds.get(key, 0.0) + length_s
    return seconds


def longest_modes(spans: Sequence[ModeSpan], starts_s: Sequence[float], end_s: float) -> list[str]:
    """Return the mode in which a machine was longest in each part of a time.

    Parameters
    ----------
    spans
        The modes of the time, oldest first.
    starts_s
        Beginnings of the parts, ascending; each part ends where the next one begins.
    end_s
        End of the last part.

    Returns
    -------
    list of str
        One for each part; empty where no mode is known.
    """
    longest: list[str] = []
    first = 0
    for start_s, stop_s in zip(starts_s, [*starts_s[1:], end_s], strict=True):
        while first < len(spans) and (spans[first].to_s or end_s) <= start_s:
            first += 1
        last = first
        while last < len(spans) and spans[last].from_s < stop_s:
            last += 1
        seconds = sum_times(((span.mode, span) for span in spans[first:last]), start_s, stop_s)
        longest.append(max(seconds, key=seconds.__getitem__, default=""))
    return longest
