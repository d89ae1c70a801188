"""Group the states of a machine into events: one event for each trouble."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from asd_monitor.records import State, Transition

TROUBLE = frozenset({State.WARNING, State.ALARM})
"""States that open an event, and that it does not end in."""
MAX_NAME_CHARACTERS = 40


def make_event_id(machine: str, at_s: float) -> str:
    """Return a new id that sorts by time and is safe in a URL and as a folder.

    Parameters
    ----------
    machine
        Name of the machine.
    at_s
        When the event begins, in seconds since the epoch.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at_s))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", machine)[:MAX_NAME_CHARACTERS].strip("-") or "machine"
    return f"{stamp}-{name}-{secrets.token_hex(2)}"


class CaseTracker:
    """Give each transition the id of its event.

    A warning or an alarm opens an event unless the machine has one. The event remains open while
    there is no usable sound, and over restarts; it ends when the machine is normal, or learned
    again.

    Parameters
    ----------
    load_open
        Returns the events that an earlier run left open, by machine. Called once, at the first
        transition.
    """

    def __init__(self, load_open: Callable[[], Mapping[str, str]] = dict) -> None:
        self._load_open = load_open
        self._open: dict[str, str] | None = None

    def assign(self, transition: Transition) -> Transition:
        """Return the transition with the id of its event; empty if it belongs to none."""
        open_events = self._load()
        machine = transition.machine
        event_id = open_events.get(machine, "")
        if transition.state in TROUBLE and not event_id:
            event_id = make_event_id(machine, transition.captured_at)
            open_events[machine] = event_id
        assigned = replace(transition, event_id=event_id)
        if assigned.closes_event:
            del open_events[machine]
        return assigned

    def open_event(self, machine: str) -> str:
        """Return the id of a machine's open event; empty if there is none."""
        return self._load().get(machine, "")

    def _load(self) -> dict[str, str]:
        if self._open is None:
            self._open = dict(self._load_open())
        return self._open
