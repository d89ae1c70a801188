"""From a trained run to a model file: statistics, calibration, parity, and the fastest form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.calibration import Calibration
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import save
from asd_monitor.model_file.manifest import Json, Manifest, Threshold
from asd_monitor.progress import Progress
from asd_offline.datasets.targets import Target
from asd_offline.evaluation.clip_scoring import score_windows
from asd_offline.export.quickstart_baseline import compare_with_quickstart
from asd_offline.export.variants import (
    difference,
    forms_of,
    milliseconds_of,
    takes_other_lengths,
)
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.initial_weights import check_initialised
from asd_offline.training.prepare import PreparedData
from asd_offline.training.run_folder import Run
from asd_offline.training.trained_run import load_trained_run

WORTH_IT = 0.95
"""Another form of the module is taken if it needs at most this share of the time."""
PARITY_TARGETS = 8

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Exported:
    """What came of an export."""

    path: Path
    sha256: str
    manifest: Manifest
    parity: float
    """Largest difference between the file's scores and the eager module's."""
    milliseconds: Mapping[str, float]
    """Median time per window on one core of each form that was tried."""
    form: str
    """Which of them was kept."""


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
    """Turn a finished run into a model file.

    Parameters
    ----------
    folder
        Of the run.
    out
        The model file to write.
    cache
        Folder of the feature cache.
    machines
        Which machines the file is for; empty: all.
    dataset
        Where the dataset is now, if it was moved.
    score
        Of a model with several scores, which; None: as the recipe says.

    Raises
    ------
    ConfigError
        If the model has no such score.
    RunError
        If the run is not finished, damaged, or does not fit this version.
    DatasetError
        If the data is not there any more or not what it was, or a machine is not in the run.
    ModelFileError
        If the file cannot be written.
    """
    trained = load_trained_run(folder, cache, dataset, progress)
    features = trained.features
    prepared = _with_score(trained.prepared, score)
    chosen = _choose(prepared, machines)
    check_initialised(trained.run, prepared.recipe, chosen)
    networks = {name: trained.networks[name] for name in chosen}
    with torch.no_grad():
        detector = prepared.model.detector(networks, chosen, prepared.recipe, features).eval()
    targets = [target for each in chosen.values() for target in each]
    return _write(detector, targets, prepared.recipe, trained.run, out)


def _with_score(prepared: PreparedData, score: str | None) -> PreparedData:
    if score is None:
        return prepared
    recipe = prepared.recipe
    if not isinstance(recipe, MultiScoreRecipe):
        raise ConfigError(f"model {recipe.model} has one score only; leave out --score")
    known = recipe.score_names()
    if score not in known:
        raise ConfigError(f"model {recipe.model}: expected a score from {known}, got {score!r}")
    return replace(prepared, recipe=recipe.model_copy(update={"score": score}))


def _choose(prepared: PreparedData, machines: Sequence[str]) -> dict[str, tuple[Target, ...]]:
    known = dict.fromkeys(target.machine for target in prepared.targets)
    by_lower = {name.lower(): name for name in known}
    missing = [name for name in machines if name.lower() not in by_lower]
    if missing:
        msg = f"the run has no machine {missing[0]!r}; it has: {', '.join(known)}"
        raise DatasetError(msg)
    wanted = {by_lower[name.lower()] for name in machines} or set(known)
    chosen = {
        name: tuple(target for target in targets if target.machine in wanted)
        for name, targets in prepared.networks.items()
    }
    return {name: targets for name, targets in chosen.items() if targets}


def _write(
    detector: DetectorModule, targets: Sequence[Target], recipe: Recipe, run: Run, out: Path
) -> Exported:
    windows, places = _real_windows(targets, recipe)
    module, form, milliseconds = _fastest_form(detector, windows, places)
    calibrations = _calibrate(module, targets, recipe)
    description = {
        **detector.describe(),
        **_compare_with_quickstart(module, targets, recipe),
        "recipe": recipe.model_dump(mode="json"),
        "parameters": sum(each.numel() for each in detector.parameters()),
        "form": form,
        "milliseconds_per_window": {name: round(ms, 3) for name, ms in milliseconds.items()},
        "length_agnostic": takes_other_lengths(module, windows, places),
    }
    manifest = _manifest(run, targets, recipe, calibrations, description)
    sha256 = save(out, module, manifest)
    return Exported(
        out, sha256, manifest, difference(detector, module, windows, places), milliseconds, form
    )


def _compare_with_quickstart(
    module: nn.Module, targets: Sequence[Target], recipe: Recipe
) -> dict[str, object]:
    """Return the comparison for the manifest; empty unless the file is for a single target.

    A quick start needs one target only, so the user should know whether training was worth it.
    """
    if len(targets) != 1:
        return {}
    comparison = compare_with_quickstart(module, 0, targets[0], recipe)
    return {} if comparison is None else {"against_quickstart": comparison.to_dict()}


def _fastest_form(
    detector: nn.Module, windows: Tensor, places: Tensor
) -> tuple[torch.jit.ScriptModule, str, Mapping[str, float]]:
    """Return the form to keep, its name, and the milliseconds of all on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        forms = forms_of(detector, windows, places)
        milliseconds = milliseconds_of(forms, windows[:1], places[:1])
    finally:
        torch.set_num_threads(threads)
    form = min(milliseconds, key=lambda name: milliseconds[name])
    if milliseconds[form] > WORTH_IT * milliseconds["scripted"]:
        form = "scripted"
    return forms[form], form, milliseconds


def _manifest(
    run: Run,
    targets: Sequence[Target],
    recipe: Recipe,
    calibrations: Mapping[str, Calibration],
    description: Mapping[str, object],
) -> Manifest:
    about = run.metadata
    p = recipe.threshold_p
    return Manifest(
        name=about.model,
        revision=f"seed {about.seed}, data {about.fingerprint[:8]}",
        targets=tuple(target.name for target in targets),
        sample_rate_hz=recipe.sample_rate_hz,
        window_samples=recipe.window_samples,
        hop_samples=recipe.hop_samples,
        aggregation=recipe.aggregation,
        calibrations=calibrations,
        thresholds={
            name: Threshold(each.threshold(p), p, each.rule) for name, each in calibrations.items()
        },
        training={
            "fingerprint": about.fingerprint,
            "recordings": sum(about.targets.values()),
            "held_out": sum(about.held_out.values()),
            "seed": about.seed,
            "epochs": recipe.epochs,
            "versions": dict(about.versions),
            "trained_at": about.created_at,
            **({"initial_weights": about.initial["files"]} if about.initial else {}),
        },
        description=cast("Mapping[str, Json]", description),
    )


def _real_windows(targets: Sequence[Target], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return a window of held-out sound for each of a few targets, and their places."""
    size, windows, places = recipe.window_samples, [], []
    for place in np.unique(np.linspace(0, len(targets) - 1, PARITY_TARGETS).round().astype(int)):
        clip = targets[place].held_out[0]
        samples = read_recording(clip.path, recipe.sample_rate_hz, min_samples=size)
        windows.append(clip_windows(samples, size, size)[0])
        places.append(int(place))
    return torch.from_numpy(np.stack(windows)), torch.tensor(places)


def _calibrate(
    module: nn.Module, targets: Sequence[Target], recipe: Recipe
) -> dict[str, Calibration]:
    calibrations = {}
    for place, target in enumerate(targets):
        scores = [score_windows(module, clip.path, place, recipe, CPU) for clip in target.held_out]
        try:
            calibrations[target.name] = _calibration(scores, recipe)
        except ValueError as error:
            msg = f"{target.name}: its {len(scores)} held-out clips give no calibration: {error}"
            raise DatasetError(msg) from error
    return calibrations


def _calibration(scores: Sequence[npt.NDArray[np.float64]], recipe: Recipe) -> Calibration:
    """Calibrate with the scores of clips, one array each."""
    together = np.concatenate(scores)
    if not len(together):
        return Calibration.fit(together)
    window_s = recipe.window_samples / recipe.sample_rate_hz
    clip = np.repeat(np.arange(len(scores)), [len(each) for each in scores])
    start_s = window_s * np.concatenate([np.arange(len(each)) for each in scores])
    return Calibration.fit(together, NormalRange.fit(together, clip, start_s, window_s))
