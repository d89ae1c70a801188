"""Rank the scores of a model by the labelled test clips, for comparison with papers only.

No other part of this package uses the result.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_monitor.detection.detector import aggregate
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.progress import Progress
from asd_offline.datasets.clip import ANOMALY, NORMAL, Clip
from asd_offline.datasets.targets import target_name
from asd_offline.evaluation.clip_scoring import usable_windows
from asd_offline.evaluation.metrics import auc, pauc
from asd_offline.models.protocol import DetectorModule, HasAllScores
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.prepare import PreparedData
from asd_offline.training.trained_run import TrainedRun, load_trained_run

Matrix = npt.NDArray[np.float64]
ScoreWindows = Callable[[Tensor, int], Matrix]
"""Windows ``(windows, samples)`` and target index to all scores ``(windows, scores)``."""


@dataclass(frozen=True)
class OracleRow:
    """One score on one machine's labelled test clips."""

    machine: str
    score: str
    auc: float
    """Arithmetic mean over the machine's ids or sections."""
    pauc: float
    default: bool
    """Whether it is the recipe's score, which was chosen without labels."""

    @property
    def mean(self) -> float:
        """Mean of AUC and pAUC, the ranking criterion."""
        return 0.5 * (self.auc + self.pauc)


@dataclass(frozen=True)
class _ScoredClip:
    target: str
    label: int
    scores: Matrix
    """``(scores,)``."""


def rank_scores(
    folder: Path,
    cache: Path,
    dataset: Path | None = None,
    progress: Progress | None = None,
) -> list[OracleRow]:
    """Rank all scores of a trained model by its labelled test clips, each machine's best first.

    Parameters
    ----------
    folder
        Folder of the run.
    cache
        Folder of the feature cache.
    dataset
        Where the dataset is now, if it was moved.
    progress
        Receives the scoring of clips.

    Raises
    ------
    ConfigError
        If the model has a single score.
    DatasetError
        If there are no labelled test clips of both kinds.
    """
    trained = load_trained_run(folder, cache, dataset)
    recipe = trained.prepared.recipe
    if not isinstance(recipe, MultiScoreRecipe):
        raise ConfigError(f"model {recipe.model} has one score only, so there is nothing to choose")
    names = recipe.score_names()
    targets = [target for group in trained.prepared.networks.values() for target in group]
    clips = _labelled_clips(trained.prepared, [target.name for target in targets])
    score = _all_scores(trained, names)
    scored = []
    for done, (clip, label, index) in enumerate(clips, start=1):
        values = score(load_clip_windows(clip.path, recipe), index)
        if len(values):
            columns = [aggregate(column.tolist(), recipe.aggregation) for column in values.T]
            scored.append(_ScoredClip(targets[index].name, label, np.array(columns)))
        if progress is not None:
            progress.update("test clips", done, len(clips))
    machine_of_target = {target.name: target.machine for target in targets}
    return _rank(names, scored, machine_of_target, recipe.score)


def load_clip_windows(path: Path, recipe: Recipe) -> Tensor:
    """Return the windows ``(windows, samples)`` of a clip that the monitor would score."""
    usable = usable_windows(path, recipe, recipe.hop_samples)
    channels = len(recipe.input_channels)
    shape = (channels, recipe.window_samples) if channels > 1 else (recipe.window_samples,)
    return torch.from_numpy(np.stack(usable)) if usable else torch.zeros(0, *shape)


def _labelled_clips(prepared: PreparedData, targets: Sequence[str]) -> list[tuple[Clip, int, int]]:
    """Return labelled test clips, each with its label and target index."""
    clips = [
        (clip, clip.label, targets.index(target_name(clip)))
        for clip in prepared.dataset.select(split="test")
        if clip.label is not None and target_name(clip) in targets
    ]
    if not {NORMAL, ANOMALY} <= {label for _, label, _ in clips}:
        msg = f"{prepared.dataset.root}: expected labelled test clips, normal and anomalous"
        raise DatasetError(f"{msg}; found {len(clips)} of one kind or none")
    return clips


def _all_scores(trained: TrainedRun, names: Sequence[str]) -> ScoreWindows:
    """Return a function that computes all scores, in one pass if the detector can."""

    def detector(name: str) -> DetectorModule:
        prepared = trained.prepared
        recipe = prepared.recipe.model_copy(update={"score": name})
        with torch.no_grad():
            return prepared.model.detector(
                trained.networks, prepared.networks, recipe, trained.features
            )

    last = detector(names[-1])
    one_pass = last if isinstance(last, HasAllScores) else None
    detectors = [] if one_pass else [*(detector(name) for name in names[:-1]), last]

    def score(windows: Tensor, index: int) -> Matrix:
        target = torch.full((len(windows),), index)
        if not len(windows):
            return np.zeros((0, len(names)))
        with torch.inference_mode():
            if one_pass is not None:
                values = one_pass.scores(windows, target)
            else:
                values = torch.stack([module(windows, target) for module in detectors], dim=1)
        return values.double().numpy()

    return score


def _rank(
    names: Sequence[str],
    scored: Sequence[_ScoredClip],
    machine_of_target: Mapping[str, str],
    default: str,
) -> list[OracleRow]:
    by_target: dict[str, list[_ScoredClip]] = defaultdict(list)
    for clip in scored:
        by_target[clip.target].append(clip)
    rows = []
    for machine in dict.fromkeys(machine_of_target.values()):
        groups = [
            clips
            for target, clips in by_target.items()
            if machine_of_target[target] == machine and len({clip.label for clip in clips}) == 2
        ]
        for column, name in enumerate(names if groups else ()):
            pairs = [
                ([clip.label for clip in clips], [float(clip.scores[column]) for clip in clips])
                for clips in groups
            ]
            mean_auc = float(np.mean([auc(*pair) for pair in pairs]))
            mean_pauc = float(np.mean([pauc(*pair) for pair in pairs]))
            rows.append(OracleRow(machine, name, mean_auc, mean_pauc, name == default))
    return sorted(rows, key=lambda row: (row.machine, -row.mean))
