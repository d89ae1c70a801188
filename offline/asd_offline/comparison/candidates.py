"""Models of a comparison, with their recipes and seeds."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.settings_file import read
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
    recipe_name: str = ""
    """Name of the recipe's file, if the user gave the file itself; a model may have several."""
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
    def name(self) -> str:
        """Name of the row and of the runs."""
        return self.recipe_name or self.model

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
            return f"{self.name}: left out: {self.exclusion}"
        if self.deterministic:
            runs = "deterministic, so it runs once"
        else:
            runs = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        return f"{self.name}: {self.recipe_source}; {runs}"


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
    configs: Sequence[Path] = (),
    recipes: Path | None = None,
    epochs: int | None = None,
    seeds: int = 1,
) -> tuple[Candidate, ...]:
    """Read the recipe of each model and check which models can be trained on the dataset.

    Parameters
    ----------
    names
        As for :func:`resolve_models`; no names and some ``configs``: no other models.
    dataset
        Dataset of the comparison.
    configs
        Recipes that are compared as well, several of one model if wanted.
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
    models, requested = resolve_models(names) if names or not configs else ((), True)
    if recipes is not None and not recipes.is_dir():
        raise ConfigError(f"--recipes {recipes}: expected a folder with a MODEL.yaml per model")
    _check_names(models, configs)
    chosen = [_choose_model(model, requested, recipes, epochs) for model in models]
    chosen += [_choose_recipe(config, epochs) for config in configs]
    candidates = tuple(_fit_to(dataset, candidate, seeds) for candidate in chosen)
    exclusions = [candidate.exclusion for candidate in candidates]
    if None not in exclusions:
        raise DatasetError(f"no model can be compared on {dataset.root}: {exclusions[0]}")
    return candidates


def _check_names(models: Sequence[str], configs: Sequence[Path]) -> None:
    """Raise ConfigError if two rows would have the same name, or a name has other characters."""
    for config in configs:
        if not re.fullmatch(r"[\w.+-]+", config.stem):
            msg = f"--config {config}: expected a file name of letters, digits and _ . + -"
            raise ConfigError(f"{msg}, because the runs are named after it")
    for name, count in Counter([*models, *(config.stem for config in configs)]).items():
        if count > 1:
            msg = f"--config: the name {name!r} occurs {count} times among the recipes and models"
            raise ConfigError(f"{msg}; each run is named after its file, so rename one of them")


def _choose_model(
    name: str, requested: bool, recipes: Path | None, epochs: int | None
) -> Candidate:
    """Return a model with its recipe in ``recipes``, or else with the published values."""
    if name == QUICKSTART:
        return Candidate(name, requested, recipe_source="fitted by replay, no recipe")
    expected_file = recipes / f"{name}.yaml" if recipes else None
    file = expected_file if expected_file is not None and expected_file.exists() else None
    required = [
        key
        for key, field in MODELS[name].recipe.model_fields.items()
        if field.is_required() and key != "model"
    ]
    if file is None and required and not requested:
        exclusion = f"its recipe needs a value for {', '.join(required)}; give one with --recipes"
        return Candidate(name, requested, exclusion=exclusion)
    source = f"recipe {file}" if file else PUBLISHED
    if expected_file is not None and file is None:
        source = f"{PUBLISHED} ({expected_file} does not exist)"
    recipe = _read(file, name, epochs)
    return Candidate(name, requested, recipe=recipe, recipe_source=source)


def _choose_recipe(config: Path, epochs: int | None) -> Candidate:
    """Return the model that a recipe is for, under the name of the file."""
    model = read(config, "model").values.get("model")
    if not isinstance(model, str) or model not in MODELS:
        msg = f"{config}: expected `model:` with one of {', '.join(MODELS)}, found {model!r}"
        raise ConfigError(msg)
    recipe = _read(config, model, epochs)
    return Candidate(model, True, config.stem, recipe, f"recipe {config} of {model}")


def _read(file: Path | None, model: str, epochs: int | None) -> Recipe:
    """Read a recipe without an AUC by epoch: test clips are scored once, at the end."""
    recipe_type: type[Recipe] = MODELS[model].recipe
    recipe = read_recipe(file, model, recipe_type, auc_interval_epochs=0)
    if epochs is None or not recipe.epochs:
        return recipe
    return read_recipe(file, model, recipe_type, auc_interval_epochs=0, epochs=epochs)


def _fit_to(dataset: Dataset, candidate: Candidate, seeds: int) -> Candidate:
    """Add seeds and the number of networks, or why the model cannot be trained on the dataset."""
    if candidate.recipe is None or candidate.exclusion is not None:
        return replace(candidate, seeds=(0,))
    try:
        targets = plan_targets(dataset.select(split="train"), candidate.recipe.held_out_fraction)
        network_count = len(MODELS[candidate.model].networks(targets))
    except (ConfigError, DatasetError) as error:
        return replace(candidate, exclusion=str(error))
    numbers = (0,) if candidate.deterministic else tuple(range(seeds))
    return replace(candidate, seeds=numbers, network_count=network_count)
