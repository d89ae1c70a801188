"""Since when each machine is in its state, and which event it has."""

from dataclasses import dataclass

from asd_monitor.records import MachineRemoved, Record, Transition


@dataclass(frozen=True, slots=True)
class StateTime:
    """The present state of a machine."""

    since_s: float | None = None
    """When it began, in seconds since the epoch; None before the first transition."""
    event_id: str = ""
    """Its open event; empty if there is none."""


class StateTimes:
    """Keeps the newest transition of each machine; may be read from any thread."""

    def __init__(self) -> None:
        self._times: dict[str, StateTime] = {}

    def emit(self, record: Record) -> None:
        """Keep the time and the event of a transition, until the machine is removed."""
        if isinstance(record, Transition):
            event_id = "" if record.closes_event else record.event_id
            self._times[record.machine] = StateTime(record.captured_at, event_id)
        elif isinstance(record, MachineRemoved):
            self._times.pop(record.machine, None)

    def of(self, machine: str) -> StateTime:
        """Return the present state of a machine."""
        return self._times.get(machine, StateTime())
