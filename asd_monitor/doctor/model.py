"""Model files: whole, right for their machines, and how many microphones they allow here."""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import AsdMonitorError, ConfigError, ModelFileError
from asd_monitor.runtime.state_dir import StateFolder

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

BATCH = 16
TIMED_S = 0.5
LEAST_RUNS = 5
USABLE = 0.6
"""So much of one processor may go into models; the rest is for capture, sinks and others."""


def check_models(case: Case) -> list[Finding]:
    """Load and time each model file that the settings name or that commissioning has written."""
    findings = list[Finding]()
    machines_of: dict[Path, list[str]] = defaultdict(list)
    state = StateFolder.locate(case.config.state_dir, os.environ)
    for machine, settings in case.config.machines.items():
        path = settings.model or state.model_path(machine)
        if settings.model is not None or path.exists():
            machines_of[path].append(machine)
        elif not case.default_microphone:
            findings.append(_not_yet(case, machine, path))
    if not machines_of and not findings:
        findings.append(ok("model", "none was named; give one with --model"))
    for path, machines in machines_of.items():
        findings += _check_file(case, path, machines)
    return findings


def _not_yet(case: Case, machine: str, path: Path) -> Finding:
    from asd_monitor.runtime.builder import check_target_to_learn

    told = f"{machine}: there is no model yet at {path}"
    if case.config.learn_of(machine).enabled:
        try:
            check_target_to_learn(machine, case.config.machines[machine].target, path)
        except ConfigError as error:
            told, _, advice = str(error).partition("; ")
            return failed("model", told, advice, ConfigError)
        return ok("model", f"{told}: the machine will be learned first")
    advice = f"run `asd-monitor learn --machine {machine}`, or allow learning"
    return failed("model", told, advice, ModelFileError)


def _check_file(case: Case, path: Path, machines: list[str]) -> list[Finding]:
    from asd_monitor import model_file
    from asd_monitor.runtime import builder

    try:
        scorer = model_file.load(path, case.config.device)
    except ModelFileError as error:
        advice = "copy it again, or have the machine learned again: `asd-monitor learn`"
        return [failed("model", str(error), advice, ModelFileError)]
    manifest = scorer.manifest
    told = f"{path}: {manifest.name} {manifest.revision}, whole; it gives its golden scores"
    findings = [ok("model", told, sha256=scorer.sha256)]
    try:
        builder.make_detector(case.config, scorer, machines)
    except AsdMonitorError as error:
        told = error.args[0]
        advice = f"`asd-monitor inspect {path}` lists its targets"
        findings.append(failed("model", told, advice, ConfigError))
    return [*findings, _speed(scorer, path, len(machines))]


def _speed(scorer: "LoadedModel", path: Path, machines: int) -> Finding:
    manifest = scorer.manifest
    hop_s = manifest.hop_samples / manifest.sample_rate_hz
    alone_s, batched_s = _window_s(scorer, 1), _window_s(scorer, BATCH)
    factor, most = alone_s / hop_s, int(USABLE * hop_s / min(alone_s, batched_s))
    facts = {
        "window_ms": round(1e3 * alone_s, 3),
        "batched_window_ms": round(1e3 * batched_s, 3),
        "real_time_factor": round(factor, 5),
        "microphones": most,
    }
    told = (
        f"{path.name}: {1e3 * alone_s:.1f} ms per window on {scorer.device}, {factor:.2%} of real "
        f"time; would carry about {most} microphone(s)"
    )
    if most < 1:
        advice = "take a longer hop, a smaller model, or a faster computer"
        return failed("model speed", told, advice, ModelFileError, **facts)
    if most < machines:
        advice = f"{machines} machines use it: take a longer hop, or a second computer"
        return warning("model speed", told, advice, **facts)
    return ok("model speed", told, **facts)


def _window_s(scorer: "LoadedModel", batch: int) -> float:
    """Median time to score one window of noise, in batches of so many."""
    rng = np.random.default_rng(0)
    shape = batch, scorer.manifest.window_samples
    windows = 0.1 * rng.standard_normal(shape, np.float32)
    targets, times_s = np.zeros(batch, np.int64), list[float]()
    scorer.score(windows, targets)
    while len(times_s) < LEAST_RUNS or sum(times_s) < TIMED_S:
        began = time.perf_counter()
        scorer.score(windows, targets)
        times_s.append(time.perf_counter() - began)
    return float(np.median(times_s)) / batch
