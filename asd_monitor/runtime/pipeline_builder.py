"""Build the pipeline of each machine, and what learns a machine that has no model."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from asd_monitor.audio import sample_rates
from asd_monitor.config import Config
from asd_monitor.detection.alarm import Alarm
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.model_file.manifest import Json
from asd_monitor.progress import Progress
from asd_monitor.runtime.commissioning import Commissioning, CommissioningResult, FittedModel
from asd_monitor.runtime.detectors import LoadedModels, load_policy, make_detector
from asd_monitor.runtime.learned_microphones import RecordedWith, training_entry
from asd_monitor.runtime.learning import LearningTask, learn_here
from asd_monitor.runtime.learning_rate import (
    check_earlier_recordings,
    choose_rate_hz,
    is_rate_chosen,
    learning_rate_hz,
    recorded_rate_hz,
)
from asd_monitor.runtime.microphones import Choice
from asd_monitor.runtime.model_store import SaveLater, save_model
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.recorded_rates import RecordedRates
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.runtime.recordings_to_learn import check_recordings_to_learn
from asd_monitor.runtime.remote_learning import learn_remotely
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources import AudioSource
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.microphone.device_capture import DeviceCaptures
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.rate_conversion import ConvertedSource, original
from asd_monitor.sources.registry import SOURCES
from asd_monitor.sources.wav import WavSettings, WavSource
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineBuilder:
    """Add pipelines to a monitor."""

    config: Config
    state: StateFolder
    metrics: Metrics
    monitor: Monitor
    choices: Mapping[str, Choice]
    """The microphone of each machine that has one."""
    sources: Mapping[str, AudioSource]
    """Sources made by the caller, by machine, instead of those of the settings."""
    rings: Mapping[str, SoundRing]
    """Where the newest sound of each machine is kept as evidence."""
    rates_hz: Mapping[str, int]
    """Sample rate of each machine's sound."""
    models: LoadedModels = field(default_factory=LoadedModels)
    """The models, and why machines have none, or not their newest one."""
    captures: DeviceCaptures = field(default_factory=DeviceCaptures)
    wakeups: PacedWakeups = field(default_factory=PacedWakeups)

    def add(self, machine: str, alarm: Alarm, detector: "Detector | None") -> None:
        """Add the pipeline of a machine, which is learned first if it has no detector."""
        pipeline, commissioning = self._build(machine, alarm, detector)
        self.monitor.add_pipeline(pipeline)
        if commissioning is not None:
            self.monitor.learn(machine, commissioning)
        elif detector is not None:
            self.monitor.install(machine, detector)

    def join(self, machine: str, alarm: Alarm, detector: "Detector | None") -> None:
        """Add a machine to the running monitor, as :meth:`add` does to one that is not started."""
        pipeline, commissioning = self._build(machine, alarm, detector)
        self.monitor.join(pipeline, commissioning)
        if detector is not None:
            self.monitor.install(machine, detector)

    def _build(
        self, machine: str, alarm: Alarm, detector: "Detector | None"
    ) -> tuple[Pipeline, Commissioning | None]:
        rate_hz = self.rates_hz[machine]
        source = self.sources.get(machine) or self._build_source(machine, rate_hz)
        if detector is None and is_rate_chosen(self.config, machine, rate_hz):
            source = ConvertedSource(source, rate_hz)
        pipeline = Pipeline(
            machine,
            source,
            alarm,
            emit=self.monitor.emit,
            metrics=self.metrics,
            drop_late=self.config.machines[machine].source.is_live,
            ring=self.rings.get(machine),
        )
        pipeline.model_problem = self.models.problems.get(machine, "")
        if detector is not None or (pipeline.model_problem and machine not in self.models.refits):
            return pipeline, None
        is_refit = machine in self.models.refits
        return pipeline, _build_commissioning(
            self.config, self.state, self.monitor, pipeline, rate_hz, is_refit=is_refit
        )

    def _build_source(self, machine: str, rate_hz: int) -> AudioSource:
        settings, choice = self.config.machines[machine], self.choices.get(machine)
        _, build_source = SOURCES[settings.source_key]
        context = SourceContext(
            machine,
            rate_hz,
            self.wakeups,
            self.captures,
            note=choice.note if choice else "",
            missing_hint=choice.missing_hint if choice else "",
        )
        return build_source(settings.source, context)


def sample_rates_hz(
    config: Config, state: StateFolder, choices: Mapping[str, Choice], models: LoadedModels
) -> dict[str, int]:
    """Return the sample rate of each machine's sound: its model's, or that of learning."""

    def rate_hz(machine: str) -> int:
        if machine in models.detectors:
            return models.detectors[machine].manifest.sample_rate_hz
        if machine in models.refits:
            return recorded_rate_hz(state, machine)
        choice = choices.get(machine)
        return learning_rate_hz(config, state, machine, choice.microphone if choice else None)

    return {machine: rate_hz(machine) for machine in config.machines}


def _build_commissioning(
    config: Config,
    state: StateFolder,
    monitor: Monitor,
    pipeline: Pipeline,
    rate_hz: int,
    *,
    is_refit: bool,
) -> Commissioning:
    machine, required_s = pipeline.machine, 60 * config.learn_of(pipeline.machine).minutes
    settings = config.machines[machine].source
    if isinstance(settings, WavSettings) and not is_refit:
        check_recordings_to_learn(machine, settings.paths, required_s)
    check_earlier_recordings(state, machine, rate_hz)
    folder = state.make(state.recordings_path(machine))
    recorded_with, rates = RecordedWith(folder.parent), RecordedRates(folder.parent)
    source = original(pipeline.source)

    def note_origin() -> None:
        if isinstance(source, MicrophoneSource):
            recorded_with.add(source.identity)
        known_hz = source.rates_hz() if isinstance(source, WavSource) else []
        rates.add(known_hz or [source.health().rate_hz])

    session = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    choose = None
    if is_rate_chosen(config, machine, rate_hz) and not is_refit:
        choose = partial(choose_rate_hz, machine, rate_hz)
    store = RecordingStore(
        machine,
        folder,
        rate_hz,
        session,
        note_origin,
        choose,
        on_disk=config.learn_of(machine).keep_recordings is not False,
    )
    if is_refit:  # sound of now is not known to be normal, so none is added
        required_s = min(required_s, store.duration_s)
    return Commissioning(
        machine,
        store,
        required_s,
        fit=partial(_fit, config, state, store, recorded_with, rates),
        on_result=partial(_finish_commissioning, config, state, monitor, pipeline),
        on_room=partial(monitor.read_again, machine),
        extend_existing=state.model_path(machine).exists(),
    )


def _fit(
    config: Config,
    state: StateFolder,
    store: RecordingStore,
    recorded_with: RecordedWith,
    rates: RecordedRates,
    recordings: Sequence["Recording"],
    progress: Progress,
) -> FittedModel:
    """Fit a quick-start model to recordings and save it, unless the disk is full."""
    from asd_monitor.quickstart.recording_check import findings_of

    machine, rate_hz = store.machine, store.sample_rate_hz
    settings = config.learn_of(machine)
    origin: dict[str, Json] = {
        **training_entry(recorded_with.microphones),
        **sample_rates.training_entry(rates.rates_hz),
    }
    task = LearningTask(machine, rate_hz, settings.window_s, settings.hop_s, origin)
    if settings.remote is None:
        learned = learn_here(task, recordings, progress)
    else:
        learned = learn_remotely(
            settings.remote, task, recordings, progress, runtime=config.runtime
        )
    for describe in (sample_rates.describe_mixture, sample_rates.describe_missing_band):
        if text := describe(rates.rates_hz, rate_hz):
            logger.warning("%s: %s", machine, text)
    for finding in findings_of(learned.manifest):
        logger.warning("%s: the learned sound: %s", machine, finding)
    return save_model(state, machine, learned.content)


def _finish_commissioning(
    config: Config,
    state: StateFolder,
    monitor: Monitor,
    pipeline: Pipeline,
    result: CommissioningResult,
) -> None:
    """Install the new model, or end the run where none can come; in commissioning's thread."""
    from asd_monitor import model_file

    fitted = result.model
    if fitted is not None:
        pipeline.model_problem = fitted.problem
        if fitted.content is None:
            policy = load_policy(config, state)
            model = model_file.load(fitted.path, config.device, policy=policy)
        else:
            model = model_file.load_content(fitted.content, fitted.path, config.device)
            SaveLater(state, pipeline, fitted.content).start()
        monitor.install(result.machine, make_detector(config, model, [result.machine]))
    elif result.error is not None and (result.is_fatal or pipeline.has_ended()):
        monitor.fail(result.error)
