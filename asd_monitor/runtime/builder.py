"""Build a monitor from its settings."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from asd_monitor.config import Config
from asd_monitor.errors import AsdMonitorError, StateError
from asd_monitor.evidence.maker import MachineSound
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.records import AuditEntry
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging.store import JudgingStore
from asd_monitor.judging.watch import AlarmWatch
from asd_monitor.outbox.database import FILE_NAME as OUTBOX_FILE_NAME
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.runtime.alarm_store import AlarmStore, resume_alarms
from asd_monitor.runtime.continued_calibration import ContinuedCalibration, Surroundings
from asd_monitor.runtime.detectability import DetectabilityJobs
from asd_monitor.runtime.detectors import (
    LoadedModels,
    load_detectors,
    name_modes,
    reload_detector,
)
from asd_monitor.runtime.growing_mapping import GrowingMapping
from asd_monitor.runtime.learned_sound import find_learned_sound
from asd_monitor.runtime.machine_addition import (
    MachineLocks,
    RunningMachines,
    describe_machine,
)
from asd_monitor.runtime.microphones import find_choices, replace_microphones
from asd_monitor.runtime.model_watch import ModelWatch
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.page_settings import PageSettings
from asd_monitor.runtime.page_setup import PageSetup
from asd_monitor.runtime.pipeline_builder import PipelineBuilder, sample_rates_hz
from asd_monitor.runtime.recording_retention import RecordingRetention
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.runtime.systemd import Notifier, announce_trial
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sources import AudioSource
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus, StatusTracker
from asd_monitor.web.diagnosis import Diagnosis
from asd_monitor.web.settings import WebSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MonitorHandle:
    """A monitor with its settings and resources; the caller must close it."""

    config: Config
    state: StateFolder
    metrics: Metrics
    monitor: Monitor
    status: Callable[[], MonitorStatus]
    """Return a snapshot of the monitor; may be called from any thread."""
    machines: RunningMachines
    """The machines, to which others can be added while the monitor runs."""
    history: HistoryWriter | None = None
    """The history; None if it is off."""

    def close(self) -> None:
        """Stop the monitor and release the state folder; may be called twice."""
        self.monitor.stop()
        if self.history is not None:
            self.history.close()
        self.machines.locks.close()


def build_monitor(
    config: Config,
    *,
    extra_sinks: Sequence[Sink] = (),
    sources: Mapping[str, AudioSource] | None = None,
    relearn: bool = False,
    page_settings: PageSettings | None = None,
    diagnosis: Diagnosis | None = None,
    environ: Mapping[str, str] = os.environ,
) -> MonitorHandle:
    """Build a monitor; nothing listens or runs before ``handle.monitor.start()``.

    Parameters
    ----------
    config
        The settings.
    extra_sinks
        Further sinks, which receive records last.
    sources
        Sources made by the caller, by machine, instead of those of the settings.
    relearn
        Learn every machine, whether or not it has a model.
    page_settings
        The settings made on the web page, which may then change them; None: it may not.
    diagnosis
        Checks the installation for the web page; None: the page cannot.
    environ
        Environment variables that locate the state folder.

    Raises
    ------
    AsdMonitorError
        If a model, a source's settings, a sink's settings or the state folder cannot be used.
    """
    loaded, metrics = config, Metrics(CollectorRegistry())
    metrics.add_machines(config.machines)
    state = StateFolder.locate(config.state_dir, environ)
    with ExitStack() as undo:
        locks = MachineLocks()
        undo.callback(locks.close)
        for machine in config.machines:
            with ExitStack() as taken:
                taken.enter_context(state.lock(machine))
                locks.keep(machine, taken.pop_all())
        choices = {} if sources else find_choices(config, state, relearn=relearn)
        config = replace_microphones(config, choices)
        models = (
            LoadedModels()
            if relearn
            else load_detectors(
                config, state, partial(announce_trial, Notifier.from_environment(environ))
            )
        )
        detectors = models.detectors
        names = GrowingMapping(config.display_names)
        history = _build_history(config, state, metrics, names)
        store = resume_alarms(config, state, detectors, metrics)
        cases, workers = _track_cases(store, history), config.inference.count_workers()
        monitor = Monitor(metrics, cases=cases, workers=workers)
        rates_hz = sample_rates_hz(config, state, choices, models)
        rings = GrowingMapping({} if relearn else _make_rings(config, rates_hz))
        builder = PipelineBuilder(
            config, state, metrics, monitor, choices, sources or {}, rings, rates_hz, models
        )
        machines = _share_machines(builder, names, rings, store, locks, loaded)
        watch = continued = None
        if not relearn:
            continued = _build_continued_calibration(machines, has_history=history is not None)
        if history is not None and continued is not None:
            watch = _build_watch(machines, continued)
        context = _make_context(machines, history, watch)
        sinks = _build_sinks(machines, context, watch)
        if not relearn:
            sinks.append(DetectabilityJobs(state, partial(_list_measured, machines)))
            sinks.append(RecordingRetention(state, partial(_list_kept_days, machines)))
        if config.web is not None:
            sinks += _build_web(config.web, machines, context, page_settings, diagnosis)
        if continued is not None:
            machines.begin_calibration = continued.begin_again
            sinks += [continued, ModelWatch(machines)]
        for sink in [*sinks, *extra_sinks]:
            monitor.add_sink(sink)
        for name, alarm in store.alarms.items():
            builder.add(name, alarm, detectors.get(name))
        undo.pop_all()
        return MonitorHandle(
            config, state, metrics, monitor, machines.tracker.snapshot, machines, history
        )


def _share_machines(
    builder: PipelineBuilder,
    names: GrowingMapping[str, str],
    rings: GrowingMapping[str, SoundRing],
    store: AlarmStore,
    locks: MachineLocks,
    loaded: Config,
) -> RunningMachines:
    config = builder.config
    return RunningMachines(
        builder=builder,
        tracker=StatusTracker(config.display_names, builder.monitor.is_alive),
        store=store,
        names=names,
        about=GrowingMapping({each: describe_machine(config, each) for each in config.machines}),
        rings=rings,
        sounds=GrowingMapping(_describe_sounds(config, builder.state, builder.monitor, rings)),
        locks=locks,
        config=config,
        loaded=loaded,
    )


def _build_history(
    config: Config, state: StateFolder, metrics: Metrics, names: Mapping[str, str]
) -> HistoryWriter | None:
    settings = config.sink_settings(HistorySettings)
    if settings is None:
        return None
    return HistoryWriter(
        state.root / FILE_NAME, settings, count=metrics.history.count, displayed=names
    )


def _track_cases(store: AlarmStore, history: HistoryWriter | None) -> CaseTracker:
    """Continue the open events of the history, or without one those of the continued alarms."""
    return CaseTracker(lambda: store.open_events | dict(history.open_events() if history else {}))


def _make_context(
    machines: RunningMachines, history: HistoryWriter | None, watch: AlarmWatch | None
) -> SinkContext:
    config, builder = machines.config, machines.builder
    return SinkContext(
        node=config.node,
        machines=tuple(config.machines),
        metrics=builder.metrics,
        status=machines.tracker.snapshot,
        history=history,
        names=machines.names,
        sounds=machines.sounds,
        events_folder=builder.state.events_path,
        outbox_path=builder.state.root / OUTBOX_FILE_NAME,
        external_url=(config.web.external_url if config.web is not None else None) or "",
        post=builder.monitor.post,
        submit=None if watch is None else watch.submit,
    )


def _build_continued_calibration(
    machines: RunningMachines, *, has_history: bool
) -> ContinuedCalibration:
    """Build what extends the calibration of the machines while they are monitored."""
    builder = machines.builder
    monitor, store = builder.monitor, JudgingStore(builder.state.root)

    def record(machine: str, text: str) -> None:
        if has_history:
            entry = AuditEntry(
                store.clock(), "asd-monitor", "monitor", "extend-calibration", machine, text=text
            )
            store.add_audit(entry)

    surroundings = Surroundings(
        config=lambda: machines.config,
        detector=monitor.detector,
        rings=machines.rings,
        adjust=monitor.adjust,
        post=monitor.post,
        record=record,
    )
    return ContinuedCalibration(builder.state, builder.metrics.calibration, surroundings)


def _build_watch(machines: RunningMachines, continued: ContinuedCalibration) -> AlarmWatch:
    """Build what follows the acknowledgements and verdicts of people."""
    state, monitor = machines.builder.state, machines.builder.monitor

    def install(machine: str) -> None:
        try:
            monitor.install(machine, reload_detector(machines.config, state, machine))
            for pipeline in monitor.pipelines:
                if pipeline.machine == machine:
                    pipeline.model_problem = ""
            if not CalibrationFiles(state.root, machine).extension.exists():
                continued.forget(machine)
            logger.info("%s: its new model is in use", machine)
        except AsdMonitorError as error:
            logger.warning("%s: its new model cannot be used: %s", machine, error)

    def rename_modes(machine: str) -> None:
        for pipeline in monitor.pipelines:
            if pipeline.machine == machine and pipeline.detector is not None:
                name_modes(pipeline.detector, state, machine)

    store = JudgingStore(state.root)
    judging = machines.builder.metrics.judging
    return AlarmWatch(store, machines.names, monitor.post, judging, install, rename_modes)


def _build_sinks(
    machines: RunningMachines, context: SinkContext, watch: AlarmWatch | None
) -> list[Sink]:
    """Build the sinks that are on, in the order of SINKS."""
    sections = machines.config.sinks
    machines.context = context
    machines.sinks = {
        key: build(sections[key], context) for key, (_, build) in SINKS.items() if key in sections
    }
    sinks = list(machines.sinks.values())
    if watch is not None:  # after the history, which it reads
        sinks.append(watch)
    return [machines.tracker, machines.store, *sinks]


def _list_measured(machines: RunningMachines) -> dict[str, float]:
    """Return the machines whose models are measured, with the false alarms a month asked for."""
    config = machines.config
    return {
        name: config.alarm_of(name).false_alarms_per_month
        for name, settings in config.machines.items()
        if settings.model is None
        and config.learn_of(name).detectability
        and config.learn_of(name).keep_recordings is not False
    }


def _list_kept_days(machines: RunningMachines) -> dict[str, float]:
    """Return for how many days recordings are kept, where that is limited."""
    config = machines.config
    kept = {name: config.learn_of(name).kept_days for name in config.machines}
    return {name: days for name, days in kept.items() if days is not None}


def _make_rings(config: Config, rates_hz: Mapping[str, int]) -> dict[str, SoundRing]:
    """Return a ring for the newest sound of each machine; none where no evidence is kept."""
    settings = config.sink_settings(EvidenceSettings)
    if settings is None or settings.keep is Keep.NONE:
        return {}
    return {machine: SoundRing(rate_hz) for machine, rate_hz in rates_hz.items()}


def _describe_sounds(
    config: Config, state: StateFolder, monitor: Monitor, rings: Mapping[str, SoundRing]
) -> dict[str, MachineSound]:
    return {
        machine: MachineSound(
            ring,
            partial(monitor.detector, machine),
            state.recordings_path(machine),
            is_live=config.machines[machine].source.is_live,
        )
        for machine, ring in rings.items()
    }


def _build_web(
    settings: WebSettings,
    machines: RunningMachines,
    context: SinkContext,
    page_settings: PageSettings | None,
    diagnosis: Diagnosis | None,
) -> list[Sink]:
    """Build the web page; its libraries are imported only here.

    Without its accounts there is no page, since anyone could sign in, but the machines are
    monitored.
    """
    from asd_monitor.web.service import WebService

    try:
        page = WebService(
            settings,
            node=context.node,
            machines=context.names,
            status=context.status,
            state_root=machines.builder.state.root,
            metrics=context.metrics,
            rings=machines.rings,
            setup=None
            if page_settings is None
            else PageSetup(page_settings, machines, context.history),
            find_learned=partial(find_learned_sound, machines),
            diagnosis=diagnosis,
            trusted_keys=lambda: machines.config.models.trusted_keys,
            alarm_of=lambda machine: machines.config.alarm_of(machine).model_dump(),
        )
    except StateError as error:
        if not machines.names:
            raise
        logger.log(logging.ERROR, "the machines are monitored without the web page: %s", error)
        return []
    return [page]
