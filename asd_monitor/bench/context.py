"""Context of the measurements: files, broker, and how long to measure."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_monitor.bench.fixtures import BenchFixtures


@dataclass(frozen=True, slots=True)
class Broker:
    """Address of an MQTT broker."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BenchContext:
    """Files, broker and options that all measurements share."""

    fixtures: BenchFixtures
    broker: Broker
    quick: bool = False
    """Short runs, which test the benchmark itself rather than measure the monitor."""
    microphone: str | None = None
    """Use this microphone instead of a recording where one machine is measured."""
    report: Callable[[str], None] = lambda _: None
    """Called with a description of each measurement as it begins."""
    base_topic: str = field(default_factory=lambda: f"asd-bench-{uuid.uuid4().hex[:8]}")

    def choose_duration_s(self, full_s: float, quick_s: float) -> float:
        """Return how long to measure, in seconds."""
        return quick_s if self.quick else full_s

    def one_machine(self, model: Path | None = None) -> dict[str, Any]:
        """Return the settings of a monitor with one machine in real time."""
        source = {"wav": self._paced()} if self.microphone is None else {"mic": self.microphone}
        return self._settings({"pump": source | {"model": str(model or self.fixtures.model)}})

    def many_machines(self, count: int, models: Sequence[Path] | None = None) -> dict[str, Any]:
        """Return the settings of a monitor with n machines, each with its own recording.

        All have the model of the fixtures, unless there is one for each.
        """
        models = models or [self.fixtures.model] * count
        return self._settings(
            {f"pump-{i:04}": {"wav": self._paced(), "model": str(models[i])} for i in range(count)}
        )

    def unpaced_machine(self, sound: Path, model: Path) -> dict[str, Any]:
        """Return the settings of a monitor that loops a recording as fast as it can."""
        wav = {"paths": [str(sound)], "paced": False, "loop": True}
        return self._settings({"pump": {"wav": wav, "model": str(model)}})

    def _paced(self) -> dict[str, Any]:
        return {"paths": [str(self.fixtures.sound)], "loop": True}

    def _settings(self, machines: dict[str, Any]) -> dict[str, Any]:
        mqtt = {"host": self.broker.host, "port": self.broker.port, "base_topic": self.base_topic}
        return {"node": "bench", "device": "cpu", "machines": machines, "mqtt": mqtt}
