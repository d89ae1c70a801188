"""Add machines to a running monitor, exchange them, and remove them from it."""

import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel

from asd_monitor.config import Config, MachineSettings
from asd_monitor.detection.alarm import Alarm
from asd_monitor.errors import AsdMonitorError, ModelFileError, StateError
from asd_monitor.evidence.maker import MachineSound
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.runtime.alarm_store import AlarmStore, ModelIdentity
from asd_monitor.runtime.detectors import LoadedModels, find_limits, load_detectors
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

STARTING_WITH_STATES = frozenset({"mqtt", "notify"})
"""Sinks that receive the present states when they are exchanged. For the others, which record
changes in a place that remains the same, the states would be recorded twice."""
DESCRIPTIONS = ("name", "kind", "place")
"""Settings of a machine that only people read."""


class MachineLocks:
    """The locks of the machines of a monitor in its state folder."""

    def __init__(self) -> None:
        self.locks: dict[str, ExitStack] = {}

    def keep(self, machine: str, lock: ExitStack) -> None:
        """Keep the lock of a machine."""
        self.locks[machine] = lock

    def release(self, machine: str) -> None:
        """Release the lock of a machine."""
        self.locks.pop(machine).close()

    def close(self) -> None:
        """Release all locks; may be called twice."""
        for machine in list(self.locks):
            self.release(machine)


@dataclass(frozen=True, slots=True)
class PreparedMachines:
    """Machines whose microphones and models can be used, before any of them is started."""

    loaded: Config
    """The settings of these machines only, as they were loaded."""
    config: Config
    """The same, with their microphones."""
    choices: Mapping[str, Choice]
    models: LoadedModels
    rates_hz: Mapping[str, int]
    locks: Mapping[str, ExitStack]
    """Locks of the machines that were not monitored before."""

    def release(self) -> None:
        """Release the locks of the machines that were not started."""
        for lock in self.locks.values():
            lock.close()


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
    loaded: Config
    """The same as they were loaded, without what was found out since, as ids of microphones."""
    context: SinkContext | None = None
    """What sinks are built in."""
    sinks: dict[str, Sink] = field(default_factory=dict)
    """The sinks that are on, by their keys in SINKS."""
    needs_restart: tuple[str, ...] = ()
    """Settings that were saved and are used after the next start only."""
    begin_calibration: Callable[[str], None] = lambda _machine: None
    """Continue the calibration of a machine by its present settings."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while machines or sinks are exchanged."""

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
        with self.lock:
            if machine in self.config.machines:
                raise StateError(f"{machine} is monitored already")
            prepared = self.prepare(config, [machine])
            try:
                self.start(prepared, machine)
            finally:
                prepared.release()

    def prepare(self, config: Config, names: Collection[str]) -> PreparedMachines:
        """Look for the microphones of machines and load their models, and change nothing yet.

        Parameters
        ----------
        config
            Settings that include the machines.
        names
            Their ids; machines that are monitored already may be among them.

        Raises
        ------
        AsdMonitorError
            If a microphone or a model cannot be used, or another process monitors a machine.
        """
        state = self.builder.state
        with ExitStack() as undo:
            locks = dict[str, ExitStack]()
            for machine in names:
                if machine not in self.config.machines:
                    locks[machine] = undo.enter_context(ExitStack())
                    locks[machine].enter_context(state.lock(machine))
            loaded = with_machines(config, {name: config.machines[name] for name in names})
            choices = self._share_devices(find_choices(loaded, state), config)
            alone = replace_microphones(loaded, choices)
            models = load_detectors(alone, state)
            for machine, problem in models.problems.items():
                if machine not in models.detectors and machine not in models.refits:
                    raise ModelFileError(f"{machine}: {problem}")
            rates_hz = sample_rates_hz(alone, state, choices, models)
            undo.pop_all()
        return PreparedMachines(loaded, alone, choices, models, rates_hz, locks)

    def start(self, prepared: PreparedMachines, machine: str) -> None:
        """Start a prepared machine that is not monitored, between two windows of the others.

        Raises
        ------
        AsdMonitorError
            If it cannot be started.
        """
        with self.lock:
            alone, detectors = prepared.config, prepared.models.detectors
            detector = detectors.get(machine)
            self._announce(alone, machine, detector, prepared.rates_hz[machine])
            builder = replace(
                self.builder,
                config=alone,
                choices=prepared.choices,
                sources={},
                rates_hz=prepared.rates_hz,
                models=prepared.models,
            )
            builder.join(machine, self.store.alarms[machine], detector)
            settings = alone.machines[machine], prepared.loaded.machines[machine]
            self.config = with_machines(alone, self.config.machines | {machine: settings[0]})
            self.loaded = with_machines(self.loaded, self.loaded.machines | {machine: settings[1]})
            if machine in prepared.locks:
                self.locks.keep(machine, prepared.locks[machine].pop_all())

    def exchange(self, prepared: PreparedMachines, machine: str) -> None:
        """Monitor a machine by other settings, between two windows of the others.

        Its sound is not captured meanwhile. Its event continues, and with the same model its alarm.
        What is being learned is learned again from the recordings so far.

        Raises
        ------
        AsdMonitorError
            If it cannot be started; it is monitored by its former settings then.
        """
        with self.lock:
            former = self.loaded
            self.builder.monitor.detach(machine)
            try:
                self.start(prepared, machine)
            except AsdMonitorError:
                self.start(self.prepare(former, [machine]), machine)
                raise
            finally:
                self.begin_calibration(machine)

    def change_alarm(self, config: Config, machine: str) -> None:
        """Judge the scores of a machine by other settings from the next window on.

        Raises
        ------
        AsdMonitorError
            If its model has no limits for them.
        """
        with self.lock:
            detector = self.builder.monitor.detector(machine)
            if detector is None:
                return
            settings = config.alarm_of(machine)
            rule, calibration = find_limits(config, self.builder.state, detector, machine)
            self.builder.monitor.change(
                machine, lambda pipeline: pipeline.change_alarm(settings, rule, calibration)
            )
            self.begin_calibration(machine)

    def remove(self, machine: str) -> None:
        """End monitoring a machine, between two windows of the others.

        Its model, its recordings and its history remain in the state folder.

        Raises
        ------
        StateError
            If it is not monitored.
        """
        with self.lock:
            if machine not in self.config.machines:
                raise StateError(f"{machine} is not monitored")
            self.builder.monitor.remove(machine)
            # Its sound in `sounds` remains: the evidence of its last event is made from it, and
            # frees its memory afterwards.
            for mapping in (self.names, self.about, self.rings):
                mapping.remove(machine)
            others = {
                name: settings for name, settings in self.config.machines.items() if name != machine
            }
            self.config = with_machines(self.config, others)
            self.loaded = with_machines(
                self.loaded, {name: self.loaded.machines[name] for name in others}
            )
            self.locks.release(machine)

    def exchange_sink(self, key: str, settings: BaseModel | None) -> None:
        """Replace a sink of the running monitor by one with these settings; None: by none.

        Raises
        ------
        AsdMonitorError
            If the settings cannot be used.
        """
        with self.lock:
            assert self.context is not None  # noqa: S101 - set when the monitor is built
            context = replace(self.context, machines=tuple(self.names))
            _, build = SINKS[key]
            sink = None if settings is None else build(settings, context)
            monitor, old = self.builder.monitor, self.sinks.get(key)
            if old is not None and sink is not None:
                self._replace_sink(key, old, sink, context)
            elif old is not None:
                del self.sinks[key]
                monitor.remove_sink(old)
            elif sink is not None:
                monitor.insert_sink(sink)
                self.sinks[key] = sink
            self.loaded = self.loaded.model_copy(update={key: settings})
            self.config = self.config.model_copy(update={key: settings})

    def _replace_sink(self, key: str, old: Sink, new: Sink, context: SinkContext) -> None:
        """Exchange a sink; if the new one cannot be opened, the former settings are used again."""
        monitor, with_states = self.builder.monitor, key in STARTING_WITH_STATES
        position = list(monitor.sinks).index(old)
        try:
            monitor.exchange_sink(old, new, with_states=with_states)
        except AsdMonitorError:
            _, build = SINKS[key]
            new = build(self.loaded.sinks[key], context)
            monitor.exchange_sink(monitor.sinks[position], new, with_states=with_states)
            raise
        finally:
            self.sinks[key] = new

    def describe(self, config: Config, machine: str) -> None:
        """Take name, kind and place of a machine from settings; topics and folders keep the id."""
        name = config.display_names[machine]
        self.names.add(machine, name)
        self.tracker.add(machine, name)
        self.about.add(machine, describe_machine(config, machine))
        with self.lock:
            for attribute, settings in (("config", self.config), ("loaded", self.loaded)):
                if machine in settings.machines:
                    words = {key: getattr(config.machines[machine], key) for key in DESCRIPTIONS}
                    changed = settings.machines[machine].model_copy(update=words)
                    changed_machines = settings.machines | {machine: changed}
                    setattr(self, attribute, with_machines(settings, changed_machines))

    def _share_devices(self, choices: Mapping[str, Choice], config: Config) -> dict[str, Choice]:
        """Return the choices, with the settings of devices that other machines capture.

        Machines that the settings no longer have do not count.

        Raises
        ------
        ConfigError
            If machines want a device opened at different rates.
        """
        running = {
            name: Choice(source)
            for name, source in microphone_settings(self.config).items()
            if name in config.machines
        }
        shared = share_devices(running | dict(choices))
        return {machine: shared[machine] for machine in choices}

    def _announce(
        self, alone: Config, machine: str, detector: "Detector | None", rate_hz: int
    ) -> None:
        """Make the machine known to everything that receives its records."""
        builder, state = self.builder, self.builder.state
        builder.metrics.add_machines([machine])
        self.describe(alone, machine)
        evidence = alone.sink_settings(EvidenceSettings)
        if evidence is not None and evidence.keep is not Keep.NONE:
            ring = self.rings.get(machine) or SoundRing(rate_hz)
            ring.restart(rate_hz)
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
        if machine in self.config.machines:
            self.store.exchange(machine, alarm, model)
        else:
            self.store.add(machine, alarm, state.alarm_path(machine), model)


def with_machines(config: Config, machines: Mapping[str, MachineSettings]) -> Config:
    """Return settings with these machines instead of theirs."""
    return config.model_copy(update={"machines": dict(machines)})


def describe_machine(config: Config, machine: str) -> str:
    """Return kind and place of a machine; empty if neither is known."""
    settings = config.machines[machine]
    return ", ".join(text for text in (settings.kind, settings.place) if text)
