"""Find and load the model of each machine, and make detectors that share model files."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.config import Config
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.runtime.state_dir import StateFolder

if TYPE_CHECKING:
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_monitor.model_file.loaded_model import LoadedModel

logger = logging.getLogger(__name__)


def load_detectors(config: Config, state: StateFolder) -> dict[str, "Detector"]:
    """Return the detector of each machine that has a model; the others are to be learned.

    Machines with the same model file share a detector, so that their windows share batches.

    Raises
    ------
    AsdMonitorError
        If a model file cannot be used, or a machine has none and may not be learned.
    """
    machines_of: defaultdict[Path, list[str]] = defaultdict(list)
    for machine in config.machines:
        path = _model_path(config, state, machine)
        if path is not None:
            machines_of[path].append(machine)
    if not machines_of:
        return {}
    from asd_monitor import model_file

    detectors: dict[str, Detector] = {}
    for path, machines in machines_of.items():
        model = model_file.load(path, config.device)
        detectors |= dict.fromkeys(machines, make_detector(config, model, machines))
    return detectors


def reload_detector(config: Config, state: StateFolder, machine: str) -> "Detector":
    """Return a detector of the model that was written for a machine meanwhile.

    Raises
    ------
    AsdMonitorError
        If the model file cannot be used.
    """
    from asd_monitor import model_file

    model = model_file.load(state.model_path(machine), config.device)
    return make_detector(config, model, [machine])


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
