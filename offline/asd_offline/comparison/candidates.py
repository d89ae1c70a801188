"""Models of a comparison, with their recipes and seeds."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor.errors import ConfigError, DatasetError
from asd_offline.datasets import Dataset
from asd_offline.datasets.targets import plan_targets
from asd_offline.models import MODELS
from asd_offline.recipes import Recipe, read_recipe
from asd_offline.replay.plan import QUICKSTART

ALL = "all"
DEFAULT_MODELS = (QUICKSTART, "autoencoder", "twfr_gmm", "modulation_knn", "spectral_adacos")
"""The baselines, the models without training, and the default of the trained ones."""
PUBLISHED = "published defaults"


@dataclass(frozen=True)
class Candidate:
    """One model of a comparison."""

    model: str
    requested: bool
    """Whether the user named it, so that leaving it out is a failure."""
    recipe: Recipe | None = None
    """None for quick-start, which has none."""
    recipe_source: str = ""
    """Where the recipe comes from."""
    seeds: tuple[int, ...] = ()
    network_count: int = 0
    """Number of networks that are trained."""
    exclusion: str | None = None
    """Why it is left out; None if it takes part."""

    @property
    def deterministic(self) -> bool:
        """Whether nothing about the model is random, so that one run suffices."""
        if self.recipe is None:
            return True
        # A network whose recipe says epochs: 0 has random weights, so its seed matters.
        default_epochs = type(self.recipe).model_fields["epochs"].default
        return self.recipe.epochs == 0 and bool(default_epochs == 0)

    def describe(self) -> str:
        """Return recipe and number of runs, or why it is left out, in one sentence."""
        if self.exclusion is not None:
            return f"{self.model}: left out: {self.exclusion}"
        if self.deterministic:
            runs = "deterministic, so it runs once"
        else:
            runs = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        return f"{self.model}: {self.recipe_source}; {runs}"


def resolve_models(names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the models that ``--models`` selects, each once, and whether each was named.

    Parameters
    ----------
    names
        Names from the command line; ``all`` selects every model, no names the default ones.

    Raises
    ------
    ConfigError
        If a model does not exist; the message suggests the nearest name.
    """
    known = (QUICKSTART, *MODELS)
    for name in names:
        if name not in (*known, ALL):
            close = difflib.get_close_matches(name.lower(), (*known, ALL), n=1, cutoff=0.5)
            suggestion = f"; did you mean {close[0]!r}?" if close else ";"
            raise ConfigError(
                f"--models: there is no model {name!r}{suggestion} "
                f"There are: {', '.join(known)}, {ALL}"
            )
    if ALL in names:
        return known, False
    return (tuple(dict.fromkeys(names)), True) if names else (DEFAULT_MODELS, False)


def choose_candidates(
    names: Sequence[str],
    dataset: Dataset,
    *,
    recipes: Path | None = None,
    epochs: int | None = None,
    seeds: int = 1,
) -> tuple[Candidate, ...]:
    """Read the recipe of each model and check which models can be trained on the dataset.

    Parameters
    ----------
    names
        As for :func:`resolve_models`.
    dataset
        Dataset of the comparison.
    recipes
        Folder with a ``MODEL.yaml`` for each model; published defaults for the others.
    epochs
        Overrides the recipes of models that are trained.
    seeds
        Number of seeds for each model, from 0.

    Raises
    ------
    ConfigError
        If a name, the folder or a recipe is wrong.
    DatasetError
        If none of the models can be trained on the dataset.
    """
    models, requested = resolve_models(names)
    if recipes is not None and not recipes.is_dir():
        raise ConfigError(f"--recipes {recipes}: expected a folder with a MODEL.yaml per model")
    candidates = tuple(
        _choose(model, requested, dataset, recipes, epochs, seeds) for model in models
    )
    exclusions = [candidate.exclusion for candidate in candidates]
    if None not in exclusions:
        raise DatasetError(f"no model can be compared on {dataset.root}: {exclusions[0]}")
    return candidates


def _choose(
    name: str,
    requested: bool,
    dataset: Dataset,
    recipes: Path | None,
    epochs: int | None,
    seeds: int,
) -> Candidate:
    if name == QUICKSTART:
        return Candidate(name, requested, None, "fitted by replay, no recipe", (0,))
    model = MODELS[name]
    expected_file = recipes / f"{name}.yaml" if recipes else None
    file = expected_file if expected_file is not None and expected_file.exists() else None
    required = [
        key
        for key, field in model.recipe.model_fields.items()
        if field.is_required() and key != "model"
    ]
    if file is None and required and not requested:
        exclusion = f"its recipe needs a value for {', '.join(required)}; give one with --recipes"
        return Candidate(name, requested, exclusion=exclusion)
    # No AUC by epoch: test clips are scored once, at the end.
    recipe = read_recipe(file, name, model.recipe, auc_interval_epochs=0)
    if epochs is not None and recipe.epochs:
        recipe = read_recipe(file, name, model.recipe, auc_interval_epochs=0, epochs=epochs)
    source = f"recipe {file}" if file else PUBLISHED
    if expected_file is not None and file is None:
        source = f"{PUBLISHED} ({expected_file} does not exist)"
    try:
        targets = plan_targets(dataset.select(split="train"), recipe.held_out_fraction)
        network_count = len(model.networks(targets))
    except (ConfigError, DatasetError) as error:
        return Candidate(name, requested, recipe, source, exclusion=str(error))
    candidate = Candidate(name, requested, recipe, source, tuple(range(seeds)), network_count)
    return replace(candidate, seeds=(0,)) if candidate.deterministic else candidate
