"""Find and load the model of each machine, and make detectors that share model files."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.config import Config
from asd_monitor.errors import ConfigError, ModelFileError, UntrustedModelError
from asd_monitor.judging.mode_names import named_modes
from asd_monitor.judging.proposal import previous_model
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.runtime.model_store import MIN_REFIT_S, estimate_recorded_s, set_aside
from asd_monitor.runtime.state_dir import StateFolder

if TYPE_CHECKING:
    from asd_monitor.calibration import Calibration
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_monitor.model_file import LoadPolicy
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.model_file.trial import Announce

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models of a monitor's machines, and what is wrong with them."""

    detectors: dict[str, "Detector"] = field(default_factory=dict)
    """Of each machine that can be scored."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a machine has no model, or is not scored with its newest one."""
    refits: set[str] = field(default_factory=set)
    """Machines without a usable model that are learned again from their recordings."""


def load_detectors(
    config: Config, state: StateFolder, announce: "Announce | None" = None
) -> LoadedModels:
    """Load the model of each machine that has one; the others are to be learned.

    Machines with the same model file share a detector, so that their windows share batches. A
    model that cannot be used is the trouble of its machines only: they are scored with the
    previous model, or learned again from their recordings, or stay without a model.

    Raises
    ------
    ConfigError
        If a target is ambiguous, or that of a model to be learned is wrong.
    ModelFileError
        If no machine can be scored or learned.
    """
    from asd_monitor.model_file import try_new

    machines_of: defaultdict[Path, list[str]] = defaultdict(list)
    failures: dict[str, ModelFileError] = {}
    for machine in config.machines:
        try:
            path = _model_path(config, state, machine)
        except ModelFileError as error:
            failures[machine] = error
            continue
        if path is not None:
            machines_of[path].append(machine)
        elif not can_learn(config, machine):
            failures[machine] = ModelFileError(without_torch(state, machine))
    models = LoadedModels()
    problems = try_new(machines_of, load_policy(config, state), announce)
    for path, machines in machines_of.items():
        if path in problems:
            failures |= dict.fromkeys(machines, problems[path])
        else:
            failures |= _load_shared(config, state, path, machines, models)
    for machine, failure in failures.items():
        _recover(config, state, machine, failure, models)
    unusable = set(failures) - set(models.detectors) - models.refits
    if unusable and unusable == set(config.machines):
        raise next(iter(failures.values()))
    for machine, problem in models.problems.items():
        logger.error("%s: %s", machine, problem)
    return models


def load_policy(config: Config, state: StateFolder) -> "LoadPolicy":
    """Return whose model files may run, and what runs them."""
    from asd_monitor.model_file import LoadPolicy
    from asd_monitor.model_file.newest import FILE_NAME, NewestUsed

    policy = LoadPolicy.of_state(state.root, config.models.trusted_keys, config.runtime)
    newest = NewestUsed(state.root / FILE_NAME, config.models.allow_older)
    return replace(policy, newest=newest)


def can_learn(config: Config, machine: str) -> bool:
    """Return whether a machine can be learned: here, or on the computer of its settings."""
    from asd_monitor.model_file.runtimes import is_installed

    return is_installed("torchscript") or config.learn_of(machine).remote is not None


def without_torch(state: StateFolder, machine: str) -> str:
    """Return what to do about a machine that cannot be learned, since torch is not installed."""
    return (
        f"machine {machine!r}: there is no model at {state.model_path(machine)}, and learning "
        "needs torch, which is not installed: name a computer that has it (learn.remote, or "
        "`asd-monitor learn --remote`), or install it: pip install 'asd-monitor[torch]'"
    )


def _load_shared(
    config: Config,
    state: StateFolder,
    path: Path,
    machines: Sequence[str],
    models: LoadedModels,
) -> dict[str, ModelFileError]:
    """Add the detector of the machines that share a model file; return the failures of others."""
    from asd_monitor import model_file
    from asd_monitor.detection.detector import Detector

    try:
        model = model_file.load(path, config.device, policy=load_policy(config, state))
    except ModelFileError as error:
        return dict.fromkeys(machines, error)
    rules: dict[str, DecisionRule] = {}
    failures: dict[str, ModelFileError] = {}
    for machine in machines:
        try:
            rules[machine] = _decision_rule(config, model, machine)
        except ModelFileError as error:
            failures[machine] = error
    if rules:
        detector = Detector(model, rules)
        use_extensions(config, state, detector, list(rules))
        for machine in rules:
            name_modes(detector, state, machine)
        models.detectors.update(dict.fromkeys(rules, detector))
    return failures


def use_extensions(
    config: Config, state: StateFolder, detector: "Detector", machines: Sequence[str]
) -> None:
    """Judge machines by the limits that were computed from earlier monitoring, if there are any."""
    for machine in machines:
        extended = _find_extended(config, state, detector, machine)
        if extended is not None:
            detector.adjust(machine, *extended)


def find_limits(
    config: Config, state: StateFolder, detector: "Detector", machine: str
) -> "tuple[DecisionRule, Calibration | None]":
    """Return the limits of a machine: those from earlier monitoring, or those of its model."""
    extended = _find_extended(config, state, detector, machine)
    if extended is not None:
        return extended
    rule = _decision_rule(config, detector.model, machine)
    return rule, detector.manifest.calibrations.get(rule.target)


def _find_extended(
    config: Config, state: StateFolder, detector: "Detector", machine: str
) -> "tuple[DecisionRule, Calibration] | None":
    if not config.learn_of(machine).while_monitoring:
        return None
    extension = CalibrationFiles(state.root, machine).read_extension()
    target, sha256 = detector.rule(machine).target, detector.model.sha256
    if extension is None or not extension.applies_to(sha256, target):
        return None
    asked = config.alarm_of(machine).false_alarms_per_month
    return extension.make_rule(detector.manifest, asked), extension.calibration


def _recover(
    config: Config,
    state: StateFolder,
    machine: str,
    failure: ModelFileError,
    models: LoadedModels,
) -> None:
    """Take the previous model of a machine, or have it learned again from its recordings."""
    settings, problem = config.machines[machine], f"its model cannot be used: {failure}"
    if settings.model is None and not state.model_path(machine).exists():
        problem = str(failure)
    models.problems[machine] = problem
    if settings.model is not None or not state.model_path(machine).exists():
        return
    previous = previous_model(state.root, machine)
    if previous.exists() and not _load_shared(config, state, previous, [machine], models):
        models.problems[machine] = f"{problem}; the previous one is used: {previous}"
        return
    if isinstance(failure, UntrustedModelError):
        return  # whole, and perhaps wanted: people decide
    recorded_s = estimate_recorded_s(state.recordings_path(machine))
    if not config.learn_of(machine).enabled or recorded_s < MIN_REFIT_S:
        return
    if not can_learn(config, machine):
        return
    try:
        damaged = set_aside(state.model_path(machine))
    except ModelFileError as error:
        models.problems[machine] = f"{problem}; {error}"
        return
    models.problems[machine] = (
        f"{problem}; it was renamed to {damaged.name}, and the machine is learned again from "
        f"{recorded_s:.0f} s of recordings"
    )
    models.refits.add(machine)


def reload_detector(config: Config, state: StateFolder, machine: str) -> "Detector":
    """Return a detector of the model that was written for a machine meanwhile.

    Raises
    ------
    AsdMonitorError
        If the model file cannot be used.
    """
    return load_detector(config, state, state.model_path(machine), [machine])


def load_detector(
    config: Config, state: StateFolder, path: Path, machines: Sequence[str]
) -> "Detector":
    """Return a detector of a model file for these machines, verified as at the start.

    Raises
    ------
    AsdMonitorError
        If the model file cannot be used for one of them.
    """
    from asd_monitor import model_file

    model = model_file.load(path, config.device, policy=load_policy(config, state))
    detector = make_detector(config, model, machines)
    use_extensions(config, state, detector, machines)
    for machine in machines:
        name_modes(detector, state, machine)
    return detector


def name_modes(detector: "Detector", state: StateFolder, machine: str) -> None:
    """Use the names that people gave to the modes of a machine."""
    modes = detector.manifest.modes.get(detector.rule(machine).target)
    if modes is not None:
        detector.name_modes(machine, named_modes(state.root, machine, modes))


def _model_path(config: Config, state: StateFolder, machine: str) -> Path | None:
    """Return where a machine's model is; None where it is to be learned."""
    settings = config.machines[machine]
    path = settings.model or state.model_path(machine)
    if settings.model is not None or path.exists():
        return path
    if config.learn_of(machine).enabled:
        check_target_to_learn(machine, settings.target, path)
        return None
    msg = (
        f"machine {machine!r}: there is no model at {path}; "
        f"run `asd-monitor learn --machine {machine}`, or allow learning"
    )
    raise ModelFileError(msg)


def check_target_to_learn(machine: str, target: str | None, path: Path) -> None:
    """Raise ConfigError for a target that the model to be learned will not have."""
    if target not in (None, machine):
        msg = (
            f"machine {machine!r}: its target is {target!r}, but there is no model at {path}, and "
            "a learned model has the machine itself as its only target; leave the target out, "
            "or name the model file that has it (model, --model)"
        )
        raise ConfigError(msg)


def make_detector(config: Config, model: "LoadedModel", machines: Sequence[str]) -> "Detector":
    """Return a detector for the machines that share a model.

    Raises
    ------
    ConfigError
        If the target of a machine is unknown or ambiguous.
    ModelFileError
        If the model file has neither calibration nor threshold for a target.
    """
    from asd_monitor.detection.detector import Detector

    return Detector(model, {name: _decision_rule(config, model, name) for name in machines})


def _decision_rule(config: Config, model: "LoadedModel", machine: str) -> "DecisionRule":
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import describe_channels

    if model.manifest.channels > 1:
        raise ModelFileError(describe_channels(model.manifest))
    target, alarm = _target(config, model, machine), config.alarm_of(machine)
    rule = DecisionRule.from_manifest(model.manifest, target, alarm.false_alarms_per_month)
    if rule.threshold is None:
        msg = (
            f"model {model.manifest.name}: has neither calibration nor threshold for target "
            f"{target!r}; export it again with held-out normal sound"
        )
        raise ModelFileError(msg)
    logger.info("%s: %s", machine, rule.describe_support(alarm.false_alarms_per_month))
    return rule


def _target(config: Config, model: "LoadedModel", machine: str) -> str:
    targets, target = model.manifest.targets, config.machines[machine].target
    if target is not None:
        return targets[model.target_index(target)]
    if len(targets) == 1:
        return targets[0]
    if machine in targets:
        return machine
    msg = (
        f"machine {machine!r}: the model has several targets; set its `target` to one of: "
        f"{', '.join(targets)}"
    )
    raise ConfigError(msg)
