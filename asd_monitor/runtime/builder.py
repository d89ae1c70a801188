"""From settings to a monitor that is ready to start."""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from asd_monitor.config import Config, MachineSettings
from asd_monitor.detection.alarm import Alarm
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.runtime.commissioning import Commissioned, Commissioning
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks import SINKS, Sink
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sources import AudioSource
from asd_monitor.sources.microphone.devices import list_microphones
from asd_monitor.sources.microphone.source import MicrophoneSettings, pin_devices
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.registry import SOURCES
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

LEARNING_RATE_HZ = 16_000
"""Rate at which machines are learned; that of the DCASE sets."""


@dataclass
class MonitorHandle:
    """A monitor and what belongs to it; to be closed by its maker."""

    config: Config
    state: StateFolder
    metrics: Metrics
    sinks: list[Sink] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    wakeups: PacedWakeups = field(default_factory=PacedWakeups)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    monitor: Monitor = field(init=False)

    def close(self) -> None:
        """Stop the monitor and free the state folder; may be called twice."""
        self.monitor.stop()
        self.stack.close()


def build_monitor(
    config: Config,
    *,
    extra_sinks: Sequence[Sink] = (),
    sources: Mapping[str, AudioSource] | None = None,
    relearn: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> MonitorHandle:
    """Make a monitor; nothing listens or runs before ``handle.monitor.start()``.

    Parameters
    ----------
    config
        The settings.
    extra_sinks
        Further sinks, such as a live view.
    sources
        Sources made by the caller, by machine, in place of those of the settings.
    relearn
        Learn every machine, whether or not it has a model.
    environ
        Where the state folder is looked up.

    Raises
    ------
    AsdMonitorError
        If a model, a source's settings, a sink's settings or the state folder cannot be used.
    """
    config = config if sources else _pinned(config)
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(config.machines)
    handle = MonitorHandle(config, StateFolder.locate(config.state_dir, environ), metrics)
    try:
        scorers: dict[Path, LoadedModel] = {}
        for machine in config.machines:
            handle.stack.enter_context(handle.state.lock(machine))
        names = [] if relearn else list(config.machines)
        models = {name: _model(handle, name, scorers) for name in names}
        detectors = _detectors(config, models)
        for name in config.machines:
            given = (sources or {}).get(name)
            _add_pipeline(handle, name, given, detectors.get(name))
        handle.sinks += [*_sinks(handle), *extra_sinks]
        handle.monitor = Monitor(handle.pipelines, handle.sinks, metrics)
        for pipeline in handle.pipelines:
            detector = detectors.get(pipeline.machine)
            if detector is not None:
                handle.monitor.install(pipeline.machine, detector)
            else:
                handle.monitor.learn(pipeline.machine, _commissioning(handle, pipeline))
    except BaseException:
        handle.stack.close()
        raise
    return handle


def _pinned(config: Config) -> Config:
    """Name microphones given by index by their stable ids, before indices can change."""
    sources = {name: each.source for name, each in config.machines.items()}
    machines = {n: each for n, each in sources.items() if isinstance(each, MicrophoneSettings)}
    if not machines:
        return config
    present = list_microphones()
    if not present:
        return config  # they are waited for
    pinned = pin_devices(list(machines.values()), present)
    changed = {
        name: config.machines[name].model_copy(update={config.machines[name].source_key: each})
        for name, each in zip(machines, pinned, strict=True)
    }
    return config.model_copy(update={"machines": {**config.machines, **changed}})


def _model(
    handle: MonitorHandle, machine: str, scorers: dict[Path, "LoadedModel"]
) -> "LoadedModel | None":
    """Load a machine's model, each file once; None where it is to be learned."""
    settings = handle.config.machines[machine]
    path = settings.model or handle.state.model_path(machine)
    if settings.model is None and not path.exists():
        if handle.config.learn_of(machine).enabled:
            check_target_to_learn(machine, settings.target, path)
            return None
        msg = (
            f"machine {machine!r}: there is no model at {path}; "
            f"run `asd-monitor learn --machine {machine}`, or allow learning"
        )
        raise ModelFileError(msg)
    if path not in scorers:
        from asd_monitor import model_file

        scorers[path] = model_file.load(path, handle.config.device)
    return scorers[path]


def check_target_to_learn(machine: str, target: str | None, path: Path) -> None:
    """Raise ConfigError for a target that the model to be learned will not have."""
    if target not in (None, machine):
        msg = (
            f"machine {machine!r}: its target is {target!r}, but there is no model at {path}, and "
            "one that is learned has the machine itself as its only target; leave the target out, "
            "or name the model file that has it (model, --model)"
        )
        raise ConfigError(msg)


def _detectors(config: Config, models: Mapping[str, "LoadedModel | None"]) -> dict[str, "Detector"]:
    """Make one detector a model file, so that its machines' windows are scored together."""
    machines_of: dict[LoadedModel, list[str]] = {}
    for machine, scorer in models.items():
        if scorer is not None:
            machines_of.setdefault(scorer, []).append(machine)
    detectors = {}
    for scorer, machines in machines_of.items():
        detector = make_detector(config, scorer, machines)
        detectors.update(dict.fromkeys(machines, detector))
    return detectors


def make_detector(config: Config, scorer: "LoadedModel", machines: Sequence[str]) -> "Detector":
    """Make the detector of the machines that share a model file."""
    from asd_monitor.detection.detector import Detector

    rules = {name: _decision_rule(config, scorer, name) for name in machines}
    return Detector(scorer, rules)


def _decision_rule(config: Config, model: "LoadedModel", machine: str) -> "DecisionRule":
    """Return how a machine is judged; raise ModelFileError where its target has no threshold."""
    from asd_monitor.detection.decision_rule import DecisionRule

    alarm, target = config.alarm_of(machine), _target(model, machine, config.machines[machine])
    rule = DecisionRule.from_manifest(model.manifest, target, alarm.p_raise, alarm.p_clear)
    if rule.threshold is None:
        msg = (
            f"model {model.manifest.name}: has neither calibration nor threshold for target "
            f"{target!r}; export it again with held-out normal sound"
        )
        raise ModelFileError(msg)
    return rule


def _target(scorer: "LoadedModel", machine: str, settings: MachineSettings) -> str:
    targets = scorer.manifest.targets
    if settings.target is not None:
        return targets[scorer.target_index(settings.target)]
    if len(targets) == 1:
        return targets[0]
    if machine in targets:
        return machine
    msg = (
        f"machine {machine!r}: the model has several targets; set its `target` to one of: "
        f"{', '.join(targets)}"
    )
    raise ConfigError(msg)


def _add_pipeline(
    handle: MonitorHandle,
    machine: str,
    source: AudioSource | None,
    detector: "Detector | None",
) -> None:
    settings = handle.config.machines[machine]
    _, build = SOURCES[settings.source_key]
    rate_hz = detector.manifest.sample_rate_hz if detector else LEARNING_RATE_HZ
    pipeline = Pipeline(
        machine,
        source or build(machine, settings.source, rate_hz, handle.wakeups),
        Alarm(machine, handle.config.alarm_of(machine), handle.run_id),
        emit=lambda record: handle.monitor.emit(record),
        metrics=handle.metrics,
        drop_late=settings.source.is_live,
    )
    handle.pipelines.append(pipeline)


def _sinks(handle: MonitorHandle) -> list[Sink]:
    config = handle.config
    offline = (name for name, machine in config.machines.items() if not machine.source.is_live)
    context = SinkContext(
        node=config.node,
        machines=tuple(config.machines),
        metrics=handle.metrics,
        is_alive=lambda: handle.monitor.is_alive(),
        offline_machines=frozenset(offline),
    )
    return [SINKS[key][1](settings, context) for key, settings in config.sinks.items()]


def _commissioning(handle: MonitorHandle, pipeline: Pipeline) -> Commissioning:
    machine = pipeline.machine
    rules = handle.config.learn_of(machine)
    return Commissioning(
        machine,
        handle.state.make(handle.state.recordings_path(machine)),
        LEARNING_RATE_HZ,
        60 * rules.minutes,
        fit=partial(_fit, handle, machine),
        done=partial(_commissioned, handle, pipeline),
        session=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        anew=handle.state.model_path(machine).exists(),
    )


def _fit(
    handle: MonitorHandle,
    machine: str,
    recordings: Sequence["Recording"],
    progress: Callable[[float], None],
) -> Path:
    import torch

    from asd_monitor import model_file, quickstart

    # Beside other work two OpenMP threads spin at each other's barriers: 1 is faster than 2.
    torch.set_num_threads(1)
    rules = handle.config.learn_of(machine)
    fitted = quickstart.fit(
        recordings,
        target=machine,
        sample_rate_hz=LEARNING_RATE_HZ,
        window_s=rules.window_s,
        hop_s=rules.hop_s,
        progress=progress,
    )
    progress(1.0)
    path = handle.state.model_path(machine)
    handle.state.make(path.parent)
    sha256 = model_file.save(path, fitted.module, fitted.manifest)
    logger.info("%s: model %s written to %s", machine, sha256[:12], path)
    return path


def _commissioned(handle: MonitorHandle, pipeline: Pipeline, result: Commissioned) -> None:
    """Install the new model, or end the run where none can come; from commissioning's thread."""
    from asd_monitor import model_file

    if result.model_path is not None:
        scorer = model_file.load(result.model_path, handle.config.device)
        detector = make_detector(handle.config, scorer, [result.machine])
        handle.monitor.install(result.machine, detector)
    elif result.error is not None and (result.given_up or pipeline.has_ended()):
        handle.monitor.fail(result.error)
