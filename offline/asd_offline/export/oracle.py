"""Which score would have been best, had one known the test labels: for comparison with papers.

Nothing in this program ever uses what comes of it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.detection.detector import aggregate
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.progress import Progress
from asd_monitor.records import SCORED_QUALITIES
from asd_offline.datasets.clip import ANOMALY, NORMAL, Clip
from asd_offline.datasets.targets import target_name
from asd_offline.evaluation.metrics import auc, pauc
from asd_offline.models.protocol import DetectorModule, HasAllScores
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.prepare import PreparedData
from asd_offline.training.trained_run import TrainedRun, load_trained_run

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OracleRow:
    """One score on one machine's labelled test clips."""

    machine: str
    score: str
    auc: float
    """Arithmetic mean over the machine's ids or sections."""
    pauc: float
    default: bool
    """Whether it is the score that the recipe names, which no label was used for."""

    @property
    def mean(self) -> float:
        """What the oracle ranks by."""
        return 0.5 * (self.auc + self.pauc)


def oracle(
    folder: Path,
    cache: Path,
    dataset: Path | None = None,
    progress: Progress | None = None,
) -> list[OracleRow]:
    """Rank all scores of a trained model by its labelled test clips, each machine's best first.

    Parameters
    ----------
    folder
        Of the run.
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
    run = load_trained_run(folder, cache, dataset)
    recipe = run.prepared.recipe
    if not isinstance(recipe, MultiScoreRecipe):
        raise ConfigError(f"model {recipe.model} has one score only, so there is nothing to choose")
    names = recipe.score_names()
    targets = [each for group in run.prepared.networks.values() for each in group]
    clips = _labelled(run.prepared, [target.name for target in targets])
    every = _every_score(run, names)
    scores: dict[str, list[Matrix]] = defaultdict(list)
    labels: dict[str, list[int]] = defaultdict(list)
    for done, (clip, place) in enumerate(clips, start=1):
        values = every(clip_samples(clip.path, recipe), place)
        if len(values):
            columns = [aggregate(column.tolist(), recipe.aggregation) for column in values.T]
            scores[targets[place].name].append(np.array(columns))
            labels[targets[place].name].append(cast("int", clip.label))
        if progress is not None:
            progress.update("test clips", done, len(clips))
    machines = {target.name: target.machine for target in targets}
    return _rows(names, scores, labels, machines, recipe.score)


def clip_samples(path: Path, recipe: Recipe) -> Tensor:
    """Return the windows ``(windows, samples)`` of a clip that the monitor would score."""
    size = recipe.window_samples
    samples = read_recording(path, recipe.sample_rate_hz, min_samples=size)
    windows = clip_windows(samples, size, recipe.hop_samples)
    usable = [each for each in windows if assess(each).quality in SCORED_QUALITIES]
    return torch.from_numpy(np.stack(usable)) if usable else torch.zeros(0, size)


def _labelled(prepared: PreparedData, targets: Sequence[str]) -> list[tuple[Clip, int]]:
    found = [
        (clip, targets.index(target_name(clip)))
        for clip in prepared.dataset.select(split="test")
        if clip.label is not None and target_name(clip) in targets
    ]
    if not {NORMAL, ANOMALY} <= {clip.label for clip, _ in found}:
        msg = f"{prepared.dataset.root}: expected labelled test clips, normal and anomalous"
        raise DatasetError(f"{msg}; found {len(found)} of one kind or none")
    return found


def _every_score(run: TrainedRun, names: Sequence[str]) -> Callable[[Tensor, int], Matrix]:
    """Return what gives all scores ``(windows, scores)`` of windows of a target."""

    def detector(name: str) -> DetectorModule:
        prepared = run.prepared
        recipe = prepared.recipe.model_copy(update={"score": name})
        with torch.no_grad():
            return prepared.model.detector(run.networks, prepared.networks, recipe, run.features)

    last = detector(names[-1])
    at_once = last if isinstance(last, HasAllScores) else None
    single = [] if at_once else [*(detector(name) for name in names[:-1]), last]

    def score(windows: Tensor, place: int) -> Matrix:
        target = torch.full((len(windows),), place)
        if not len(windows):
            return np.zeros((0, len(names)))
        with torch.inference_mode():
            if at_once is not None:
                values = at_once.scores(windows, target)
            else:
                values = torch.stack([each(windows, target) for each in single], dim=1)
        return values.double().numpy()

    return score


def _rows(
    names: Sequence[str],
    scores: Mapping[str, Sequence[Matrix]],
    labels: Mapping[str, Sequence[int]],
    machines: Mapping[str, str],
    default: str,
) -> list[OracleRow]:
    rows = []
    for machine in dict.fromkeys(machines.values()):
        own = [t for t in labels if machines[t] == machine and len(set(labels[t])) == 2]
        for column, name in enumerate(names if own else ()):
            pairs = [(labels[t], [float(each[column]) for each in scores[t]]) for t in own]
            rows.append(
                OracleRow(
                    machine,
                    name,
                    float(np.mean([auc(*pair) for pair in pairs])),
                    float(np.mean([pauc(*pair) for pair in pairs])),
                    name == default,
                )
            )
    return sorted(rows, key=lambda row: (row.machine, -row.mean))
