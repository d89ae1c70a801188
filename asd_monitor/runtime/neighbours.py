"""Name the other machines whose microphone deviates at the same time.

A machine that starts nearby, a vehicle or a gust is in several microphones at once; a fault is
usually in one. The comparison is by time only: it says what was observed, and changes no state.
"""

import re
from dataclasses import dataclass, replace

from asd_monitor.records import State, Transition

NEAR_S = 30.0
"""Events that begin within this time count as simultaneous: the rules of the alarm decide after
one to three blocks of ten seconds."""
_RAISED = (State.WARNING, State.ALARM)


@dataclass(frozen=True, slots=True)
class _Opened:
    at: float
    is_open: bool
    named: frozenset[str] = frozenset()
    """Machines that were named in its reasons."""


class Neighbours:
    """Compare when the events of machines begin. Used by one thread."""

    def __init__(self) -> None:
        self._opened: dict[str, _Opened] = {}

    def annotate(self, transition: Transition) -> Transition:
        """Return a transition whose reason names the machines with a simultaneous event.

        The machine whose event began first is named at once in the events of the others; they are
        named in its own event at its next change.
        """
        machine, own = transition.machine, self._opened.get(transition.machine)
        if transition.is_continued:
            return transition
        if transition.state in _RAISED and (own is None or not own.is_open):
            own = _Opened(transition.captured_at, is_open=True)
        if own is None or not own.is_open:
            return transition
        others = sorted(
            name
            for name, other in self._opened.items()
            if name != machine and abs(other.at - own.at) <= NEAR_S
        )
        is_open = transition.state in _RAISED or transition.state is State.UNKNOWN
        self._opened[machine] = replace(own, is_open=is_open, named=own.named | set(others))
        reason = transition.reason
        new = [name for name in others if name not in own.named and not _names(reason, name)]
        if not new or not (transition.state in _RAISED or transition.closes_event):
            return transition
        return replace(transition, reason=f"{reason}; {_describe(new)}")


def _names(reason: str, machine: str) -> bool:
    """Return whether a reason names the microphone of a machine already."""
    return re.search(rf"microphone of {re.escape(machine)}(?![\w-])", reason) is not None


def _describe(machines: list[str]) -> str:
    listed = machines[0]
    if len(machines) > 1:
        listed = f"{', '.join(machines[:-1])} and {machines[-1]}"
    noun = "microphone" if len(machines) == 1 else "microphones"
    return f"also in the {noun} of {listed} at the same time: perhaps a sound from elsewhere"
