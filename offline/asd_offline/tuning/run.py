"""Try recipes on folds of a dataset's normal recordings, and choose one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress
from asd_monitor.storage.durable import write_durably
from asd_offline.comparison import CompareSettings, Comparison, compare
from asd_offline.datasets import open_dataset
from asd_offline.datasets.clip import Clip
from asd_offline.recipes import Recipe
from asd_offline.training.prepare import PARTS_FOLDER
from asd_offline.training.split_recordings import split_long_recordings
from asd_offline.tuning.choice import Rated, choose, rate
from asd_offline.tuning.folds import LIST, Fold, plan_folds, write_folds
from asd_offline.tuning.suitable import suitable_models

SCHEMA = "asd-monitor/tune/1"
FOLDS = 3
FORMAT = 3
"""Of the folds; another number if they are written differently."""


@dataclass(frozen=True)
class TuneSettings:
    """Which models are tried on which recordings."""

    compare: CompareSettings
    """Of a comparison on the folds; ``dataset``, ``out`` and ``machines`` are those of the user."""
    folds: int = FOLDS


@dataclass(frozen=True)
class Tuned:
    """What was found."""

    machines: tuple[str, ...]
    folds: int
    rated: tuple[Rated, ...]
    """The best first."""
    chosen: Rated
    reason: str
    """Why it was chosen; the name of the model and this are a sentence."""
    recipe: Recipe | None
    """None for the quick-start detector, which has none."""
    left_out: tuple[str, ...]
    """Models that could not be rated, with reasons."""

    def to_dict(self) -> dict[str, Any]:
        """Return one document for ``json.dumps``."""
        return {
            "schema": SCHEMA,
            "machines": list(self.machines),
            "folds": self.folds,
            "models": [
                {
                    "model": each.model,
                    "mean_auc": each.mean,
                    "auc_by_fold": list(each.aucs),
                    "behind_the_best": each.behind,
                    "standard_error": each.standard_error,
                }
                for each in self.rated
            ],
            "chosen": self.chosen.model,
            "reason": self.reason,
            "recipe": self.recipe.model_dump(mode="json") if self.recipe else None,
            "left_out": list(self.left_out),
        }


def tune(settings: TuneSettings, progress: Progress) -> Tuned:
    """Compare models on folds of the normal recordings, choose one, and write its recipe.

    Test clips and labels are not opened. The folds are in ``OUT/folds``, the comparison in
    ``OUT/comparison``, the result in ``OUT/tuning.json`` and ``OUT/recipe.yaml``. A run that was
    stopped is resumed by the same call.

    Raises
    ------
    DatasetError
        If there are too few normal recordings, or no model could be rated.
    """
    wanted = settings.compare
    clips, notes = find_normals(wanted)
    machines = tuple(dict.fromkeys(clip.machine for clip in clips))
    folds = [
        fold
        for machine in machines
        for fold in plan_folds([clip for clip in clips if clip.machine == machine], settings.folds)
    ]
    folder = wanted.out / "folds"
    if not wanted.models:
        models, left_out = suitable_models(clips, wanted.recipes)
        wanted = replace(wanted, models=models)
        notes += left_out
    for note in notes:
        progress.message(note)
    _prepare(folder, folds, progress)
    on_folds = replace(
        wanted,
        dataset=folder / LIST,
        out=wanted.out / "comparison",
        machines=(),
        year=None,
        ground_truth=None,
    )
    comparison = compare(on_folds, progress)
    tuned = _summarise(comparison, machines, [fold.name for fold in folds], settings.folds)
    _write(wanted.out, tuned)
    return tuned


def find_normals(wanted: CompareSettings) -> tuple[list[Clip], list[str]]:
    """Return the normal training clips of a dataset, divided as for a training, and notes.

    Raises
    ------
    DatasetError
        If there are none.
    """
    dataset = open_dataset(wanted.dataset, wanted.year, None, wanted.machines or None)
    clips = dataset.select(split="train")
    if not clips:
        raise DatasetError(f"{dataset.root}: expected normal training clips, found none")
    return split_long_recordings(clips, wanted.cache / PARTS_FOLDER, None)


def _prepare(folder: Path, folds: list[Fold], progress: Progress) -> None:
    """Write the folds unless the same ones are there completely."""
    plan = {
        fold.name: [[clip.path.name for clip in part] for part in (fold.train, fold.test)]
        for fold in folds
    }
    text = json.dumps(plan | {"format": FORMAT})
    record, begun = folder / "plan.json", folder / "plan.begun.json"
    if _read(record) == text:
        return
    if folder.exists() and any(folder.iterdir()) and _read(begun) != text:
        msg = f"{folder}: expected an empty folder, or the folds of the same recordings"
        raise DatasetError(f"{msg}; give another --out, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(begun, text.encode())
    write_folds(folder, folds, progress)
    write_durably(record, text.encode())


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _summarise(
    comparison: Comparison, machines: tuple[str, ...], folds: list[str], count: int
) -> Tuned:
    aucs: dict[str, list[float]] = {}
    left_out = []
    for summary in comparison.models:
        found = [summary.metrics.get((fold, "auc")) for fold in folds]
        known = [seeds.mean for seeds in found if seeds is not None]
        if len(known) == len(folds):
            aucs[summary.candidate.model] = known
        else:
            remarks = "; ".join(summary.remarks()) or "not measured in every fold"
            left_out.append(f"{summary.candidate.model}: {remarks.removeprefix('left out: ')}")
    if not aucs:
        raise DatasetError(f"no model could be rated: {'; '.join(left_out)}")
    rated = rate(aucs)
    chosen, reason = choose(rated)
    recipes: Mapping[str, Recipe | None] = {
        summary.candidate.model: summary.candidate.recipe for summary in comparison.models
    }
    return Tuned(
        machines, count, tuple(rated), chosen, reason, recipes[chosen.model], tuple(left_out)
    )


def _write(out: Path, tuned: Tuned) -> None:
    document = json.dumps(tuned.to_dict(), allow_nan=False, indent=1) + "\n"
    write_durably(out / "tuning.json", document.encode())
    recipe = out / "recipe.yaml"
    if tuned.recipe is None:
        recipe.unlink(missing_ok=True)
        return
    lines = [f"# Chosen by asd-monitor tune: {tuned.chosen.model} {tuned.reason}."]
    values = tuned.recipe.model_dump(mode="json", exclude_unset=True)
    values = {"model": tuned.chosen.model} | values
    lines.append(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    write_durably(recipe, "\n".join(lines).encode())
