"""Add machines to a running monitor, and remove them from it."""

import threading
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel

from asd_monitor.config import Config
from asd_monitor.detection.alarm import Alarm
from asd_monitor.errors import StateError
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.evidence.worker import MachineSound
from asd_monitor.runtime.alarm_store import AlarmStore, ModelIdentity
from asd_monitor.runtime.detectors import load_detectors
from asd_monitor.runtime.growing_mapping import GrowingMapping
from asd_monitor.runtime.microphones import (
    Choice,
    find_choices,
    microphone_settings,
    replace_microphones,
    share_devices,
)
from asd_monitor.runtime.pipeline_builder import PipelineBuilder, sample_rates_hz
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.telemetry.status import StatusTracker

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector


class MachineLocks:
    """The locks of the machines of a monitor in its state folder."""

    def __init__(self) -> None:
        self._locks: dict[str, ExitStack] = {}

    def keep(self, machine: str, lock: ExitStack) -> None:
        """Keep the lock of a machine."""
        self._locks[machine] = lock

    def release(self, machine: str) -> None:
        """Release the lock of a machine."""
        self._locks.pop(machine).close()

    def close(self) -> None:
        """Release all locks; may be called twice."""
        for machine in list(self._locks):
            self.release(machine)


@dataclass(slots=True)
class RunningMachines:
    """The machines of a monitor, as its sinks and pages share them."""

    builder: PipelineBuilder
    """Builds pipelines; its configuration is that of the machines that were added last."""
    tracker: StatusTracker
    store: AlarmStore
    names: GrowingMapping[str, str]
    """Names for people, by id."""
    about: GrowingMapping[str, str]
    """Kind and place, by id."""
    rings: GrowingMapping[str, SoundRing]
    sounds: GrowingMapping[str, MachineSound]
    locks: MachineLocks
    """Locks of the machines in the state folder."""
    config: Config
    """The settings of all machines that are monitored."""
    context: SinkContext | None = None
    """What sinks are built in."""
    sinks: dict[str, Sink] = field(default_factory=dict)
    """The sinks that are on, by their keys in SINKS."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, config: Config, machine: str) -> None:
        """Add a machine; it is learned first if it has no model.

        Parameters
        ----------
        config
            Settings that include the machine.
        machine
            Its id.

        Raises
        ------
        AsdMonitorError
            If its microphone or its model cannot be used, or another process monitors it. Nothing
            has changed then.
        """
        with self._lock, ExitStack() as taken:
            if machine in self.config.machines:
                raise StateError(f"{machine} is monitored already")
            taken.enter_context(self.builder.state.lock(machine))
            alone = config.model_copy(update={"machines": {machine: config.machines[machine]}})
            choices = find_choices(alone, self.builder.state)
            alone = replace_microphones(alone, self._share_devices(machine, choices))
            models = load_detectors(alone, self.builder.state)
            detectors = models.detectors
            rates_hz = sample_rates_hz(alone, self.builder.state, choices, models)
            self._announce(alone, machine, detectors.get(machine), rates_hz[machine])
            builder = replace(
                self.builder,
                config=alone,
                choices=choices,
                sources={},
                rates_hz=rates_hz,
                models=models,
            )
            builder.join(machine, self.store.alarms[machine], detectors.get(machine))
            self.config = config.model_copy(
                update={"machines": self.config.machines | alone.machines}
            )
            self.locks.keep(machine, taken.pop_all())

    def remove(self, machine: str) -> None:
        """End monitoring a machine, between two windows of the others.

        Its model, its recordings and its history remain in the state folder.

        Raises
        ------
        StateError
            If it is not monitored.
        """
        with self._lock:
            if machine not in self.config.machines:
                raise StateError(f"{machine} is not monitored")
            self.builder.monitor.remove(machine)
            # Its sound in `sounds` remains: evidence of its last event may still be made from it.
            for mapping in (self.names, self.about, self.rings):
                mapping.remove(machine)
            others = {
                name: settings for name, settings in self.config.machines.items() if name != machine
            }
            self.config = self.config.model_copy(update={"machines": others})
            self.locks.release(machine)

    def exchange_sink(self, key: str, settings: BaseModel | None) -> None:
        """Replace a sink of the running monitor by one with these settings; None: by none.

        Raises
        ------
        AsdMonitorError
            If the settings cannot be used.
        """
        with self._lock:
            assert self.context is not None  # noqa: S101 - set when the monitor is built
            context = replace(self.context, machines=tuple(self.names))
            _, build = SINKS[key]
            sink = None if settings is None else build(settings, context)
            old = self.sinks.pop(key, None)
            if old is not None:  # first, because its end would otherwise undo the other's begin
                self.builder.monitor.remove_sink(old)
            if sink is not None:
                self.builder.monitor.insert_sink(sink)
                self.sinks[key] = sink

    def describe(self, config: Config, machine: str) -> None:
        """Take name, kind and place of a machine from settings; topics and folders keep the id."""
        name = config.display_names[machine]
        self.names.add(machine, name)
        self.tracker.add(machine, name)
        self.about.add(machine, describe_machine(config, machine))

    def _share_devices(self, machine: str, choices: Mapping[str, Choice]) -> dict[str, Choice]:
        """Return the choice of a machine, with the settings of the device if others capture it.

        Raises
        ------
        ConfigError
            If it wants the device opened at another rate.
        """
        running = {
            name: Choice(source) for name, source in microphone_settings(self.config).items()
        }
        shared = share_devices(running | dict(choices))
        return {machine: shared[machine]} if machine in choices else {}

    def _announce(
        self, alone: Config, machine: str, detector: "Detector | None", rate_hz: int
    ) -> None:
        """Make the machine known to everything that receives its records."""
        builder, state = self.builder, self.builder.state
        builder.metrics.add_machines([machine])
        self.describe(alone, machine)
        evidence = alone.sink_settings(EvidenceSettings)
        if evidence is not None and evidence.keep is not Keep.NONE:
            ring = SoundRing(rate_hz)
            self.rings.add(machine, ring)
            self.sounds.add(
                machine,
                MachineSound(
                    ring,
                    partial(builder.monitor.detector, machine),
                    state.recordings_path(machine),
                    is_live=alone.machines[machine].source.is_live,
                ),
            )
        model = None
        if detector is not None:
            target = detector.rule(machine).target
            model = ModelIdentity(sha256=detector.model.sha256, target=target)
        alarm = Alarm(machine, alone.alarm_of(machine), uuid.uuid4().hex[:12])
        self.store.add(machine, alarm, state.alarm_path(machine), model)


def describe_machine(config: Config, machine: str) -> str:
    """Return kind and place of a machine; empty if neither is known."""
    settings = config.machines[machine]
    return ", ".join(text for text in (settings.kind, settings.place) if text)
