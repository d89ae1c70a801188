"""Export a trained run to a model file: fit the detector, verify it, calibrate it, and save it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asd_monitor.audio.files import read_model_input, read_recording
from asd_monitor.audio.quality import usable_levels_dbfs
from asd_monitor.audio.sample_rates import training_entry
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.calibration import Calibration
from asd_monitor.calibration.alarm_rate import FALSE_ALARMS_PER_MONTH, exceedance_probability
from asd_monitor.calibration.blocks import count_effective_windows
from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import save
from asd_monitor.model_file.manifest import Json, Manifest, Threshold
from asd_monitor.progress import Progress
from asd_offline.datasets.audio_files import read_length
from asd_offline.datasets.targets import Target
from asd_offline.evaluation.clip_scoring import score_windows
from asd_offline.export.normal_sound import fit_normal_sound
from asd_offline.export.quickstart_baseline import compare_with_quickstart
from asd_offline.export.variants import (
    accepts_variable_length,
    export_variants,
    max_difference,
    time_variants,
)
from asd_offline.jobs.pool import one_torch_thread
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.initial_weights import check_initialised
from asd_offline.training.prepare import PreparedData
from asd_offline.training.run_folder import Run
from asd_offline.training.trained_run import load_trained_run

MIN_SPEEDUP = 0.95
"""Another variant than the scripted one is used if it needs at most this fraction of the time."""
MAX_VERIFIED_TARGETS = 8

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    path: Path
    sha256: str
    manifest: Manifest
    parity: float
    """Largest difference between the scores of the file and those of the eager module."""
    milliseconds: Mapping[str, float]
    """Median time per window on one core of each variant."""
    form: str
    """The variant in the file."""


def export(
    folder: Path,
    out: Path,
    cache: Path,
    *,
    machines: Sequence[str] = (),
    dataset: Path | None = None,
    score: str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the model file of a finished run.

    Parameters
    ----------
    folder
        Folder of the run.
    out
        The model file.
    cache
        Folder of the feature cache.
    machines
        Machines in the file; empty: all.
    dataset
        Where the dataset is now, if it was moved.
    score
        Which score to export, if the model has several; None: the recipe's.
    progress
        Receives the computation of features.

    Raises
    ------
    ConfigError
        If the model has no such score.
    RunError
        If the run is not finished, damaged, or does not fit this version.
    DatasetError
        If the data is missing or has changed, or a machine is not in the run.
    ModelFileError
        If the file cannot be written.
    """
    trained = load_trained_run(folder, cache, dataset, progress)
    prepared = _select_score(trained.prepared, score)
    targets = _select_targets(prepared, machines)
    check_initialised(trained.run, prepared.recipe, targets)
    networks = {name: trained.networks[name] for name in targets}
    with torch.no_grad():
        detector = prepared.model.detector(networks, targets, prepared.recipe, trained.features)
    ordered = [target for group in targets.values() for target in group]
    return _write(detector.eval(), ordered, prepared.recipe, trained.run, out)


def _select_score(prepared: PreparedData, score: str | None) -> PreparedData:
    if score is None:
        return prepared
    recipe = prepared.recipe
    if not isinstance(recipe, MultiScoreRecipe):
        raise ConfigError(f"model {recipe.model} has one score only; leave out --score")
    known = recipe.score_names()
    if score not in known:
        raise ConfigError(f"model {recipe.model}: expected a score from {known}, got {score!r}")
    return replace(prepared, recipe=recipe.model_copy(update={"score": score}))


def _select_targets(
    prepared: PreparedData, machines: Sequence[str]
) -> dict[str, tuple[Target, ...]]:
    """Return the targets of the machines by network, without networks that have none."""
    known = dict.fromkeys(target.machine for target in prepared.targets)
    by_lower = {name.lower(): name for name in known}
    missing = [name for name in machines if name.lower() not in by_lower]
    if missing:
        msg = f"the run has no machine {missing[0]!r}; it has: {', '.join(known)}"
        raise DatasetError(msg)
    selected = {by_lower[name.lower()] for name in machines} or set(known)
    targets = {
        name: tuple(target for target in group if target.machine in selected)
        for name, group in prepared.networks.items()
    }
    return {name: group for name, group in targets.items() if group}


def _write(
    detector: DetectorModule, targets: Sequence[Target], recipe: Recipe, run: Run, out: Path
) -> Exported:
    windows, indices = _held_out_windows(targets, recipe)
    module, variant, milliseconds = _fastest_variant(detector, windows, indices)
    calibrations = _calibrate(module, targets, recipe)
    description = {
        **detector.describe(),
        **_compare_with_quickstart(module, targets, recipe),
        "recipe": recipe.model_dump(mode="json"),
        "parameters": sum(weight.numel() for weight in detector.parameters()),
        "form": variant,
        "milliseconds_per_window": {name: round(ms, 3) for name, ms in milliseconds.items()},
        "length_agnostic": accepts_variable_length(module, windows, indices),
    }
    manifest = replace(
        _make_manifest(run, targets, recipe, calibrations, description),
        levels=_measure_levels(targets, recipe),
    )
    rates_hz = [read_length(clip.path).rate_hz for target in targets for clip in target.held_out]
    manifest = replace(manifest, training={**manifest.training, **training_entry(rates_hz)})
    normal_sound = {target.name: fit_normal_sound(target, recipe) for target in targets}
    sha256 = save(out, module, manifest, normal_sound=normal_sound)
    parity = max_difference(detector, module, windows, indices)
    return Exported(out, sha256, manifest, parity, milliseconds, variant)


def _compare_with_quickstart(
    module: nn.Module, targets: Sequence[Target], recipe: Recipe
) -> dict[str, object]:
    """Return the comparison for the manifest; empty unless the file is for a single target.

    A quick start is for one target, so the user should know whether training is better. Faults
    are simulated at one microphone, so there is no comparison for models of several channels.
    """
    if len(targets) != 1 or len(recipe.input_channels) > 1:
        return {}
    comparison = compare_with_quickstart(module, 0, targets[0], recipe)
    return {} if comparison is None else {"against_quickstart": comparison.to_dict()}


def _fastest_variant(
    detector: DetectorModule, windows: Tensor, indices: Tensor
) -> tuple[torch.jit.ScriptModule, str, Mapping[str, float]]:
    """Return the fastest variant, its name, and the milliseconds of all on one core."""
    with one_torch_thread():
        variants = export_variants(detector, windows, indices)
        milliseconds = time_variants(variants, windows[:1], indices[:1])
    name = min(milliseconds, key=lambda name: milliseconds[name])
    if milliseconds[name] > MIN_SPEEDUP * milliseconds["scripted"]:
        name = "scripted"
    return variants[name], name, milliseconds


def _make_manifest(
    run: Run,
    targets: Sequence[Target],
    recipe: Recipe,
    calibrations: Mapping[str, tuple[Calibration, VoiceStatistics | None]],
    description: Mapping[str, object],
) -> Manifest:
    metadata = run.metadata
    window_s = recipe.window_samples / recipe.sample_rate_hz
    p = exceedance_probability(FALSE_ALARMS_PER_MONTH, window_s)
    initial = {"initial_weights": metadata.initial["files"]} if metadata.initial else {}
    return Manifest(
        name=metadata.model,
        revision=f"seed {metadata.seed}, data {metadata.fingerprint[:8]}",
        targets=tuple(target.name for target in targets),
        sample_rate_hz=recipe.sample_rate_hz,
        window_samples=recipe.window_samples,
        hop_samples=recipe.hop_samples,
        channels=len(recipe.input_channels),
        aggregation=recipe.aggregation,
        calibrations={name: calibration for name, (calibration, _) in calibrations.items()},
        voices={name: voices for name, (_, voices) in calibrations.items() if voices is not None},
        thresholds={
            name: Threshold(calibration.threshold(p), p, calibration.rule)
            for name, (calibration, _) in calibrations.items()
        },
        training={
            "fingerprint": metadata.fingerprint,
            "recordings": sum(metadata.targets.values()),
            "held_out": sum(metadata.held_out.values()),
            "seed": metadata.seed,
            "epochs": recipe.epochs,
            "versions": dict(metadata.versions),
            "trained_at": metadata.created_at,
            **initial,
        },
        description=cast("Mapping[str, Json]", description),
    )


def _held_out_windows(targets: Sequence[Target], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return a held-out window of each of a few targets, and the indices of these targets."""
    size, windows = recipe.window_samples, []
    spaced = np.linspace(0, len(targets) - 1, MAX_VERIFIED_TARGETS).round().astype(int)
    indices = np.unique(spaced).tolist()
    for index in indices:
        path = targets[index].held_out[0].path
        samples = read_model_input(path, recipe.sample_rate_hz, recipe.input_channels, size)
        windows.append(clip_windows(samples, size, size)[0])
    return torch.from_numpy(np.stack(windows)), torch.tensor(indices)


def _calibrate(
    module: nn.Module, targets: Sequence[Target], recipe: Recipe
) -> dict[str, tuple[Calibration, VoiceStatistics | None]]:
    calibrations = {}
    for index, target in enumerate(targets):
        scores = [score_windows(module, clip.path, index, recipe, CPU) for clip in target.held_out]
        try:
            calibrations[target.name] = _fit_calibration(scores, recipe)
        except ValueError as error:
            msg = f"{target.name}: its {len(scores)} held-out clips give no calibration: {error}"
            raise DatasetError(msg) from error
    return calibrations


def _measure_levels(targets: Sequence[Target], recipe: Recipe) -> dict[str, LearnedLevels]:
    """Return the range of the levels of each target's held-out windows."""
    size, measured = recipe.window_samples, {}
    for target in targets:
        levels_dbfs: list[float] = []
        for clip in target.held_out:
            samples = read_recording(clip.path, recipe.sample_rate_hz, min_samples=size)
            levels_dbfs += usable_levels_dbfs(clip_windows(samples, size, size))
        levels = LearnedLevels.fit(levels_dbfs)
        if levels is not None:
            measured[target.name] = levels
    return measured


def _fit_calibration(
    scores: Sequence[npt.NDArray[np.float64]], recipe: Recipe
) -> tuple[Calibration, VoiceStatistics | None]:
    """Fit a calibration, and statistics of the score, to window scores of clips, one array each."""
    all_scores = np.concatenate(scores)
    if not len(all_scores):
        return Calibration.fit(all_scores), None
    window_s = recipe.window_samples / recipe.sample_rate_hz
    clip = np.repeat(np.arange(len(scores)), [len(clip_scores) for clip_scores in scores])
    start_s = window_s * np.concatenate([np.arange(len(clip_scores)) for clip_scores in scores])
    times = clip, start_s, window_s
    calibration = Calibration.fit(
        all_scores,
        NormalRange.fit(all_scores, *times),
        count_effective_windows(all_scores, *times),
    )
    return calibration, VoiceStatistics.fit(["score"], all_scores[:, None], all_scores, *times)
