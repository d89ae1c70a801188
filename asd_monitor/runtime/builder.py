"""Build a monitor from its settings."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from asd_monitor.config import Config
from asd_monitor.errors import AsdMonitorError
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.evidence.worker import MachineSound
from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging.store import JudgingStore
from asd_monitor.judging.watch import AlarmWatch
from asd_monitor.runtime.alarm_store import AlarmStore, resume_alarms
from asd_monitor.runtime.detectors import load_detectors, reload_detector
from asd_monitor.runtime.learned_microphones import (
    learned_microphones,
)
from asd_monitor.runtime.microphones import (
    Choice,
    choose_microphones,
    log_choice,
    microphone_settings,
    replace_microphones,
)
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.pipeline_builder import PipelineBuilder, sample_rates_hz
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sources import AudioSource
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus, StatusTracker
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
    locks: ExitStack
    """Locks of the machines in the state folder."""
    history: HistoryWriter | None = None
    """The history; None if it is off."""

    def close(self) -> None:
        """Stop the monitor and release the state folder; may be called twice."""
        self.monitor.stop()
        if self.history is not None:
            self.history.close()
        self.locks.close()


def build_monitor(
    config: Config,
    *,
    extra_sinks: Sequence[Sink] = (),
    sources: Mapping[str, AudioSource] | None = None,
    relearn: bool = False,
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
    environ
        Environment variables that locate the state folder.

    Raises
    ------
    AsdMonitorError
        If a model, a source's settings, a sink's settings or the state folder cannot be used.
    """
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(config.machines)
    state = StateFolder.locate(config.state_dir, environ)
    with ExitStack() as locks:
        for machine in config.machines:
            locks.enter_context(state.lock(machine))
        choices = {} if sources else _choose_microphones(config, state, relearn=relearn)
        config = replace_microphones(config, choices)
        detectors = {} if relearn else load_detectors(config, state)
        history = _build_history(config, state, metrics)
        store = resume_alarms(config, state, detectors, metrics)
        monitor = Monitor(metrics, cases=_track_cases(store, history))
        tracker = StatusTracker(config.display_names, monitor.is_alive)
        rings = {} if relearn else _make_rings(config, sample_rates_hz(config, detectors))
        watch = None
        if history is not None and not relearn:
            watch = _build_watch(config, state, monitor, metrics)
        context = _make_context(config, state, monitor, tracker, metrics, history, rings, watch)
        for sink in _build_sinks(config, context, state, rings, [tracker, store], watch):
            monitor.add_sink(sink)
        for sink in extra_sinks:
            monitor.add_sink(sink)
        builder = PipelineBuilder(config, state, metrics, monitor, choices, sources or {}, rings)
        for name, alarm in store.alarms.items():
            builder.add(name, alarm, detectors.get(name))
        status = tracker.snapshot
        return MonitorHandle(config, state, metrics, monitor, status, locks.pop_all(), history)


def _build_history(config: Config, state: StateFolder, metrics: Metrics) -> HistoryWriter | None:
    settings = config.sink_settings(HistorySettings)
    if settings is None:
        return None
    return HistoryWriter(state.root / FILE_NAME, settings, count=metrics.history.count)


def _choose_microphones(config: Config, state: StateFolder, *, relearn: bool) -> dict[str, Choice]:
    """Find each machine's microphone now, before a change of the devices renumbers them."""
    settings = microphone_settings(config)
    learned = {
        machine: learned_microphones(config, state, machine, relearn=relearn)
        for machine in settings
    }
    choices = choose_microphones(config, learned)
    for machine, choice in choices.items():
        log_choice(machine, settings[machine], choice)
    return choices


def _track_cases(store: AlarmStore, history: HistoryWriter | None) -> CaseTracker:
    """Continue the open events of the history, or without one those of the continued alarms."""
    return CaseTracker(lambda: store.open_events | dict(history.open_events() if history else {}))


def _make_context(
    config: Config,
    state: StateFolder,
    monitor: Monitor,
    tracker: StatusTracker,
    metrics: Metrics,
    history: HistoryWriter | None,
    rings: Mapping[str, SoundRing],
    watch: AlarmWatch | None,
) -> SinkContext:
    return SinkContext(
        node=config.node,
        machines=tuple(config.machines),
        metrics=metrics,
        status=tracker.snapshot,
        offline_machines=frozenset(_offline_machines(config)),
        history=history,
        names=config.display_names,
        sounds=_describe_sounds(config, state, monitor, rings),
        events_folder=state.events_path,
        external_url=(config.web.external_url if config.web is not None else None) or "",
        post=monitor.post,
        submit=None if watch is None else watch.submit,
    )


def _build_watch(
    config: Config, state: StateFolder, monitor: Monitor, metrics: Metrics
) -> AlarmWatch:
    """Build what follows the acknowledgements and verdicts of people."""

    def install(machine: str) -> None:
        try:
            monitor.install(machine, reload_detector(config, state, machine))
            logger.info("%s: its new model is in use", machine)
        except AsdMonitorError as error:
            logger.warning("%s: its new model cannot be used: %s", machine, error)

    store = JudgingStore(state.root)
    return AlarmWatch(store, tuple(config.machines), monitor.post, metrics.judging, install)


def _build_sinks(
    config: Config,
    context: SinkContext,
    state: StateFolder,
    rings: Mapping[str, SoundRing],
    first: Sequence[Sink],
    watch: AlarmWatch | None,
) -> list[Sink]:
    """Build the sinks that are on, in the order of SINKS; the web page is the last one."""
    sections = config.sinks
    sinks = [build(sections[key], context) for key, (_, build) in SINKS.items() if key in sections]
    if watch is not None:  # after the history, which it reads
        sinks.append(watch)
    if config.web is not None:
        sinks.append(_build_web(config.web, context, state, rings))
    return [*first, *sinks]


def _offline_machines(config: Config) -> list[str]:
    return [name for name, machine in config.machines.items() if not machine.source.is_live]


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
    context: SinkContext,
    state: StateFolder,
    rings: Mapping[str, SoundRing],
) -> Sink:
    """Build the web page; its libraries are imported only here."""
    from asd_monitor.web.service import WebService

    return WebService(
        settings,
        node=context.node,
        machines=context.names,
        status=context.status,
        state_root=state.root,
        metrics=context.metrics,
        rings=rings,
    )
