"""Build a monitor from its settings."""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from asd_monitor.config import Config
from asd_monitor.detection.alarm import Alarm
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.evidence.worker import MachineSound
from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.progress import Progress
from asd_monitor.runtime.commissioning import Commissioning, CommissioningResult
from asd_monitor.runtime.detectors import load_detectors, make_detector
from asd_monitor.runtime.learned_microphones import (
    RecordedWith,
    learned_microphones,
    training_entry,
)
from asd_monitor.runtime.microphones import (
    Choice,
    choose_microphones,
    log_choice,
    microphone_settings,
    replace_microphones,
)
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sources import AudioSource
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.microphone.device_capture import DeviceCaptures
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.registry import SOURCES
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus, StatusTracker
from asd_monitor.web.settings import WebSettings

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

LEARNING_RATE_HZ = 16_000
"""Sample rate at which machines are learned, as in the DCASE datasets."""


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
        monitor = Monitor(metrics, cases=CaseTracker(history.open_events if history else dict))
        tracker = StatusTracker(config.display_names, monitor.is_alive)
        rings = {} if relearn else _make_rings(config, _sample_rates_hz(config, detectors))
        context = SinkContext(
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
        )
        sinks = [tracker, *_build_sinks(config, context)]
        if config.web is not None:
            sinks.append(_build_web(config.web, context, state, rings))
        for sink in [*sinks, *extra_sinks]:
            monitor.add_sink(sink)
        for pipeline in _build_pipelines(
            config, metrics, monitor, detectors, sources or {}, choices, rings
        ):
            monitor.add_pipeline(pipeline)
            detector = detectors.get(pipeline.machine)
            if detector is not None:
                monitor.install(pipeline.machine, detector)
            else:
                commissioning = _build_commissioning(config, state, monitor, pipeline)
                monitor.learn(pipeline.machine, commissioning)
        status = tracker.snapshot
        return MonitorHandle(config, state, metrics, monitor, status, locks.pop_all(), history)


def _build_history(config: Config, state: StateFolder, metrics: Metrics) -> HistoryWriter | None:
    settings = config.sink_settings(HistorySettings)
    if settings is None:
        return None
    return HistoryWriter(state.root / FILE_NAME, settings, count=metrics.count_history)


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


def _build_sinks(config: Config, context: SinkContext) -> list[Sink]:
    """Build the sinks that are on, in the order of SINKS, which is the order of emission."""
    sections = config.sinks
    return [build(sections[key], context) for key, (_, build) in SINKS.items() if key in sections]


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


def _build_pipelines(
    config: Config,
    metrics: Metrics,
    monitor: Monitor,
    detectors: Mapping[str, "Detector"],
    sources: Mapping[str, AudioSource],
    choices: Mapping[str, Choice],
    rings: Mapping[str, SoundRing],
) -> list[Pipeline]:
    rates_hz = _sample_rates_hz(config, detectors)
    run_id, wakeups, captures = uuid.uuid4().hex[:12], PacedWakeups(), DeviceCaptures()
    pipelines = []
    for name, machine in config.machines.items():
        _, build_source = SOURCES[machine.source_key]
        choice = choices.get(name)
        context = SourceContext(
            name,
            rates_hz[name],
            wakeups,
            captures,
            note=choice.note if choice else "",
            missing_hint=choice.missing_hint if choice else "",
        )
        pipeline = Pipeline(
            name,
            sources.get(name) or build_source(machine.source, context),
            Alarm(name, config.alarm_of(name), run_id),
            emit=monitor.emit,
            metrics=metrics,
            drop_late=machine.source.is_live,
            ring=rings.get(name),
        )
        pipelines.append(pipeline)
    return pipelines


def _sample_rates_hz(config: Config, detectors: Mapping[str, "Detector"]) -> dict[str, int]:
    """Return the sample rate of each machine's sound."""
    return {
        name: detectors[name].manifest.sample_rate_hz if name in detectors else LEARNING_RATE_HZ
        for name in config.machines
    }


def _build_commissioning(
    config: Config, state: StateFolder, monitor: Monitor, pipeline: Pipeline
) -> Commissioning:
    machine = pipeline.machine
    folder = state.make(state.recordings_path(machine))
    recorded_with, source = RecordedWith(folder.parent), pipeline.source

    def note_microphone() -> None:
        if isinstance(source, MicrophoneSource):
            recorded_with.add(source.identity)

    session = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Commissioning(
        machine,
        RecordingStore(machine, folder, LEARNING_RATE_HZ, session, note_microphone),
        60 * config.learn_of(machine).minutes,
        fit=partial(_fit, config, state, machine, recorded_with),
        on_result=partial(_finish_commissioning, config, monitor, pipeline),
        extend_existing=state.model_path(machine).exists(),
    )


def _fit(
    config: Config,
    state: StateFolder,
    machine: str,
    recorded_with: RecordedWith,
    recordings: Sequence["Recording"],
    progress: Progress,
) -> Path:
    """Fit a quick-start model to recordings and save it; return its path."""
    import torch

    from asd_monitor import model_file, quickstart

    # Alongside scoring, two OpenMP threads spin at each other's barriers: one is faster.
    torch.set_num_threads(1)
    settings = config.learn_of(machine)
    fitted = quickstart.fit(
        recordings,
        target=machine,
        sample_rate_hz=LEARNING_RATE_HZ,
        window_s=settings.window_s,
        hop_s=settings.hop_s,
        progress=progress,
    )
    progress.update("save", 0.0, 1.0)
    path = state.model_path(machine)
    state.make(path.parent)
    manifest = replace(
        fitted.manifest,
        training={**fitted.manifest.training, **training_entry(recorded_with.microphones)},
    )
    sha256 = model_file.save(path, fitted.module, manifest, normal_sound=fitted.normal_sound)
    logger.info("%s: model %s written to %s", machine, sha256[:12], path)
    return path


def _finish_commissioning(
    config: Config, monitor: Monitor, pipeline: Pipeline, result: CommissioningResult
) -> None:
    """Install the new model, or end the run where none can come; in commissioning's thread."""
    from asd_monitor import model_file

    if result.model_path is not None:
        model = model_file.load(result.model_path, config.device)
        monitor.install(result.machine, make_detector(config, model, [result.machine]))
    elif result.error is not None and (result.is_fatal or pipeline.has_ended()):
        monitor.fail(result.error)
