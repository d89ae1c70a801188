"""Which models take part in a comparison, with which recipe and seeds."""

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
DEFAULT = (QUICKSTART, "autoencoder", "twfr_gmm", "modulation_knn", "spectral_adacos")
"""The yardstick, what needs no training, and the default of trained models."""
PUBLISHED = "published defaults"


@dataclass(frozen=True)
class Entry:
    """One model of a comparison."""

    model: str
    demanded: bool
    """Whether it was asked for by name, so that leaving it out would be a failure."""
    recipe: Recipe | None = None
    """None for the quick start, which has none."""
    source: str = ""
    """Where the recipe is from."""
    seeds: tuple[int, ...] = ()
    networks: int = 0
    """How many networks are trained."""
    why_not: str | None = None
    """Why it does not take part."""

    @property
    def runs_once(self) -> bool:
        """Whether nothing about it is random, so that one seed says all."""
        if self.recipe is None:
            return True
        # With epochs: 0 in the recipe of a network, its weights are random and the seed matters.
        usual = type(self.recipe).model_fields["epochs"].default
        return self.recipe.epochs == 0 and bool(usual == 0)

    def note(self) -> str:
        """Return a sentence about it, for people."""
        if self.why_not is not None:
            return f"{self.model}: left out: {self.why_not}"
        if self.runs_once:
            how = "nothing is random in it, so it runs once"
        else:
            how = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        return f"{self.model}: {self.source}; {how}"


def wanted_models(names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the models that are meant, each once, and whether each was named.

    Parameters
    ----------
    names
        As the user gave them; ``all`` stands for every model, none for a sensible few.

    Raises
    ------
    ConfigError
        If there is no such model; it names the nearest.
    """
    known = (QUICKSTART, *MODELS)
    for name in names:
        if name not in (*known, ALL):
            close = difflib.get_close_matches(name.lower(), (*known, ALL), n=1, cutoff=0.5)
            meant = f"; did you mean {close[0]!r}?" if close else ";"
            raise ConfigError(
                f"--models: there is no model {name!r}{meant} There are: {', '.join(known)}, {ALL}"
            )
    if ALL in names:
        return known, False
    return (tuple(dict.fromkeys(names)), True) if names else (DEFAULT, False)


def choose_entries(
    names: Sequence[str],
    dataset: Dataset,
    *,
    recipes: Path | None = None,
    epochs: int | None = None,
    seeds: int = 1,
) -> tuple[Entry, ...]:
    """Read every model's recipe, and see which models can be trained on the dataset.

    Parameters
    ----------
    names
        As for :func:`wanted_models`.
    dataset
        What is compared on.
    recipes
        Folder with a ``MODEL.yaml`` for each model; published defaults where there is none.
    epochs
        In place of the recipes', for what is trained at all.
    seeds
        How many seeds each model is trained with, from 0.

    Raises
    ------
    ConfigError
        If a name, the folder or a recipe is wrong.
    DatasetError
        If not one of the models can be trained on the dataset.
    """
    models, named = wanted_models(names)
    if recipes is not None and not recipes.is_dir():
        raise ConfigError(f"--recipes {recipes}: expected a folder with a MODEL.yaml per model")
    found = tuple(_entry(name, named, dataset, recipes, epochs, seeds) for name in models)
    reasons = [each.why_not for each in found]
    if None not in reasons:
        raise DatasetError(f"no model can be compared on {dataset.root}: {reasons[0]}")
    return found


def _entry(
    name: str, named: bool, dataset: Dataset, recipes: Path | None, epochs: int | None, seeds: int
) -> Entry:
    if name == QUICKSTART:
        return Entry(name, named, None, "fitted by replay, no recipe", (0,))
    model = MODELS[name]
    path = recipes / f"{name}.yaml" if recipes else None
    given = path if path is not None and path.exists() else None
    needed = _needed(model.recipe)
    if given is None and needed and not named:
        why = f"its recipe has to say {', '.join(needed)}; give one with --recipes"
        return Entry(name, named, why_not=why)
    # The picture of AUC by epoch is not drawn: test clips are looked at once, at the end.
    recipe = read_recipe(given, name, model.recipe, auc_interval_epochs=0)
    if epochs is not None and recipe.epochs:
        recipe = read_recipe(given, name, model.recipe, auc_interval_epochs=0, epochs=epochs)
    source = f"recipe {given}" if given else PUBLISHED
    if path is not None and given is None:
        source = f"{PUBLISHED} (there is no {path})"
    try:
        targets = plan_targets(dataset.select(split="train"), recipe.held_out_fraction)
        networks = len(model.networks(targets))
    except (ConfigError, DatasetError) as error:
        return Entry(name, named, recipe, source, why_not=str(error))
    entry = Entry(name, named, recipe, source, tuple(range(seeds)), networks)
    return replace(entry, seeds=(0,)) if entry.runs_once else entry


def _needed(recipe: type[Recipe]) -> list[str]:
    fields = recipe.model_fields
    return [name for name, each in fields.items() if each.is_required() and name != "model"]
