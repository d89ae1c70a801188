"""The context that sources are built in."""

from dataclasses import dataclass, field

from asd_monitor.sources.microphone.device_capture import DeviceCaptures
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
    captures: DeviceCaptures = field(default_factory=DeviceCaptures)
    """Shared by the microphones of a monitor: machines on one device share its capture."""
    note: str = ""
    """What the user must know about the source, reported in its health while it runs."""
    missing_hint: str = ""
    """What to do while the device is missing, reported in its health then."""
