"""Check model files: intact, suitable for their machines, and fast enough."""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, skipped, warning
from asd_monitor.errors import AsdMonitorError, ConfigError, ModelFileError, UntrustedModelError
from asd_monitor.runtime.state_dir import StateFolder

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

BATCH_SIZE = 16
MIN_TIMED_S = 0.5
MIN_TIMED_RUNS = 5
USABLE_FRACTION = 0.6
"""Part of one processor that models may use; the rest is for capture, sinks and other programs."""


def check_models(context: Context) -> list[Finding]:
    """Load and time each model file that the settings name or that was learned."""
    findings = list[Finding]()
    machines_of: dict[Path, list[str]] = defaultdict(list)
    state = StateFolder.locate(context.config.state_dir, os.environ)
    for machine, settings in context.config.machines.items():
        path = settings.model or state.model_path(machine)
        if settings.model is not None or path.exists():
            machines_of[path].append(machine)
        elif not context.uses_default_microphone:
            findings.append(_check_without_model(context, machine, path))
    if not machines_of and not findings:
        findings.append(skipped("model", "no model to check: give one with --model"))
    for path, machines in machines_of.items():
        findings += _check_file(context, state, path, machines)
    return findings


def _check_without_model(context: Context, machine: str, path: Path) -> Finding:
    from asd_monitor.runtime.detectors import check_target_to_learn

    message = f"{machine}: there is no model yet at {path}"
    if context.config.learn_of(machine).enabled:
        try:
            check_target_to_learn(machine, context.config.machines[machine].target, path)
        except ConfigError as error:
            message, _, hint = str(error).partition("; ")
            return failed("model", message, hint, ConfigError)
        return ok("model", f"{message}: the machine will be learned first")
    hint = f"run `asd-monitor learn --machine {machine}`, or allow learning"
    return failed("model", message, hint, ModelFileError)


def _check_file(
    context: Context, state: StateFolder, path: Path, machines: list[str]
) -> list[Finding]:
    from asd_monitor import model_file
    from asd_monitor.runtime import detectors

    policy = detectors.load_policy(context.config, state)
    try:
        loaded = model_file.load(path, context.config.device, policy=policy)
    except UntrustedModelError as error:
        message, _, hint = str(error).partition("; ")
        return [failed("model", message, hint, UntrustedModelError)]
    except ModelFileError as error:
        hint = "copy the file again, or relearn the machine: `asd-monitor learn`"
        return [failed("model", str(error), hint, ModelFileError)]
    manifest = loaded.manifest
    message = f"{path}: {manifest.name} {manifest.revision}; checksums and reference scores ok"
    findings = [ok("model", message, sha256=loaded.sha256)]
    try:
        detectors.make_detector(context.config, loaded, machines)
    except AsdMonitorError as error:
        hint = f"`asd-monitor inspect {path}` lists its targets"
        findings.append(failed("model", str(error), hint, ConfigError))
    return [*findings, _check_speed(loaded, path, len(machines))]


def _check_speed(loaded: "LoadedModel", path: Path, machines: int) -> Finding:
    manifest = loaded.manifest
    hop_s = manifest.hop_samples / manifest.sample_rate_hz
    single_s, batched_s = _time_window_s(loaded, 1), _time_window_s(loaded, BATCH_SIZE)
    real_time_factor = single_s / hop_s
    max_microphones = int(USABLE_FRACTION * hop_s / min(single_s, batched_s))
    facts = {
        "window_ms": round(1e3 * single_s, 3),
        "batched_window_ms": round(1e3 * batched_s, 3),
        "real_time_factor": round(real_time_factor, 5),
        "microphones": max_microphones,
    }
    message = (
        f"{path.name}: {1e3 * single_s:.1f} ms per window on {loaded.device}, "
        f"{real_time_factor:.2%} of real time; enough for about {max_microphones} microphone(s)"
    )
    if max_microphones < 1:
        hint = "use a longer hop, a smaller model, or a faster computer"
        return failed("model speed", message, hint, ModelFileError, **facts)
    if max_microphones < machines:
        hint = f"{machines} machines use it: use a longer hop, or a second computer"
        return warning("model speed", message, hint, **facts)
    return ok("model speed", message, **facts)


def _time_window_s(loaded: "LoadedModel", batch_size: int) -> float:
    """Return the median time per window of noise, scored in batches of this size."""
    rng = np.random.default_rng(0)
    shape = batch_size, *loaded.manifest.window_shape
    windows = 0.1 * rng.standard_normal(shape, np.float32)
    targets, times_s = np.zeros(batch_size, np.int64), list[float]()
    loaded.score(windows, targets)
    while len(times_s) < MIN_TIMED_RUNS or sum(times_s) < MIN_TIMED_S:
        started_s = time.perf_counter()
        loaded.score(windows, targets)
        times_s.append(time.perf_counter() - started_s)
    return float(np.median(times_s)) / batch_size
