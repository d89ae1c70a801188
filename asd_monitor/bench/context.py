"""What all measurements share: the files, the broker, and how long to measure."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_monitor.bench.fixtures import Workpiece


@dataclass(frozen=True, slots=True)
class Broker:
    """Where results are published."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Setting:
    """The surroundings of a measurement."""

    work: Workpiece
    broker: Broker
    quick: bool = False
    """Short runs, which say that the benchmark works rather than how fast the monitor is."""
    microphone: str | None = None
    """Listen to this microphone where one machine is measured, in place of a recording."""
    tell: Callable[[str], None] = lambda _: None
    """Called with what is being done."""
    base_topic: str = field(default_factory=lambda: f"asd-bench-{uuid.uuid4().hex[:8]}")

    def long(self, seconds: float, quick_s: float) -> float:
        """Return how long to measure, in seconds."""
        return quick_s if self.quick else seconds

    def one_machine(self, model: Path | None = None) -> dict[str, Any]:
        """Return the settings of a monitor with one machine, at the pace of real time."""
        source = {"wav": self._paced()} if self.microphone is None else {"mic": self.microphone}
        return self._settings({"pump": source | {"model": str(model or self.work.model)}})

    def machines(self, count: int) -> dict[str, Any]:
        """Return the settings of a monitor with so many machines, each with its own recording."""
        machine = {"wav": self._paced(), "model": str(self.work.model)}
        return self._settings({f"pump-{i:04}": machine for i in range(count)})

    def fast(self, sound: Path, model: Path) -> dict[str, Any]:
        """Return the settings of a monitor that reads a recording as fast as it can, for ever."""
        wav = {"paths": [str(sound)], "paced": False, "loop": True}
        return self._settings({"pump": {"wav": wav, "model": str(model)}})

    def _paced(self) -> dict[str, Any]:
        return {"paths": [str(self.work.sound)], "loop": True}

    def _settings(self, machines: dict[str, Any]) -> dict[str, Any]:
        mqtt = {"host": self.broker.host, "port": self.broker.port, "base_topic": self.base_topic}
        return {"node": "bench", "device": "cpu", "machines": machines, "mqtt": mqtt}
