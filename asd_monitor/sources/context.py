"""The context that sources are built in."""

from dataclasses import dataclass

from asd_monitor.sources.pacing import PacedWakeups


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Everything that a source is built from, besides its settings."""

    machine: str
    """Name of the machine."""
    sample_rate_hz: int
    """Sample rate to deliver at: the model's."""
    wakeups: PacedWakeups
    """Shared by the sources of a monitor that have no device to wait for."""
    note: str = ""
    """What the user must know about the source, reported in its health while it runs."""
    missing_hint: str = ""
    """What to do while the device is missing, reported in its health then."""
