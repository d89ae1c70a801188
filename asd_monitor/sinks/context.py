"""The context that sinks are built in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asd_monitor.evidence.maker import MachineSound
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging.commands import Command, Refusal
from asd_monitor.records import Record
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Everything that a sink is built from, besides its settings."""

    node: str
    """Name of this monitor."""
    machines: tuple[str, ...]
    """Ids of the machines."""
    metrics: Metrics
    """The monitor's series; a sink counts its losses there."""
    status: Callable[[], MonitorStatus]
    """Return a snapshot of the monitor; may be called from any thread once it is started."""
    history: HistoryWriter | None = None
    """The history, to which a sink may add; None if it is off."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of the machines for people, by id."""
    sounds: Mapping[str, MachineSound] = field(default_factory=dict)
    """The newest sound of the machines whose sound is kept in memory."""
    events_folder: Path = Path("events")
    """Folder of the events' evidence."""
    outbox_path: Path | None = None
    """Database of what waits for the broker; None: it waits in memory only."""
    external_url: str = ""
    """URL under which users reach the web page; empty if it is not known."""
    post: Callable[[Record], None] = lambda _record: None
    """Hand a record to all sinks; may be called from any thread."""
    submit: Callable[[Command | Refusal], bool] | None = None
    """Do, or record, a command of a person soon; None: there is no history to record it in."""
