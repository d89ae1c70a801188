"""Add machines to a running monitor."""

import threading
import uuid
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
from asd_monitor.runtime.microphones import find_choices, microphone_settings, replace_microphones
from asd_monitor.runtime.pipeline_builder import PipelineBuilder, sample_rates_hz
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.telemetry.status import StatusTracker

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector


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
    locks: ExitStack
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
            alone = replace_microphones(alone, choices)
            self._check_card_is_free(alone, machine)
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
            self.locks.push(taken.pop_all())

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

    def _check_card_is_free(self, alone: Config, machine: str) -> None:
        """Raise StateError if a machine that runs already captures the same card."""
        used = {source.device: name for name, source in microphone_settings(self.config).items()}
        for source in microphone_settings(alone).values():
            if source.device in used:
                msg = (
                    f"{machine}: its microphone is used by {used[source.device]}; another channel "
                    "of the same card can be added only while the monitor is stopped, in the "
                    "configuration file"
                )
                raise StateError(msg)

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
