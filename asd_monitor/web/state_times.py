"""Since when each machine is in its state, and which event it has."""

import time
from dataclasses import dataclass, replace

from asd_monitor.records import EvidenceReady, MachineRemoved, Record, Transition


@dataclass(frozen=True, slots=True)
class StateTime:
    """The present state of a machine."""

    since_s: float | None = None
    """When it began, in seconds since the epoch; None before the first transition."""
    event_id: str = ""
    """Its open event; empty if there is none."""
    changed_at: float = 0.0
    """When this or the evidence of the event changed last, on a clock that never jumps."""


class StateTimes:
    """Keeps the newest transition of each machine; may be read from any thread."""

    def __init__(self) -> None:
        self._times: dict[str, StateTime] = {}

    def emit(self, record: Record) -> None:
        """Keep the time and the event of a transition, until the machine is removed."""
        if isinstance(record, Transition):
            event_id = "" if record.closes_event else record.event_id
            changed_at = time.monotonic()
            self._times[record.machine] = StateTime(record.captured_at, event_id, changed_at)
        elif isinstance(record, EvidenceReady):
            known = self.of(record.machine)
            self._times[record.machine] = replace(known, changed_at=time.monotonic())
        elif isinstance(record, MachineRemoved):
            self._times.pop(record.machine, None)

    def of(self, machine: str) -> StateTime:
        """Return the present state of a machine."""
        return self._times.get(machine, StateTime())
