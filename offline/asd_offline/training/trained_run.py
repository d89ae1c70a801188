"""A finished run with its data and its trained networks, for whoever exports or examines it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from asd_monitor.errors import DatasetError, RunError
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import Recipe, kept_recipe
from asd_offline.training.checkpoints import latest_checkpoint
from asd_offline.training.loop import check_identity
from asd_offline.training.prepare import PreparedData, find_model, prepare
from asd_offline.training.run_folder import Run


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its networks."""

    run: Run
    prepared: PreparedData
    features: FeatureCache
    networks: Mapping[str, nn.Module]


def trained_run(
    folder: Path,
    cache: Path,
    dataset: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedRun:
    """Open a finished run and load its networks.

    Parameters
    ----------
    folder
        Of the run.
    cache
        Folder of the feature cache.
    dataset
        Where the dataset is now, if it was moved.
    progress
        Called with how many clips are read, and of how many.

    Raises
    ------
    RunError
        If the run is not finished, damaged, or does not fit this version.
    DatasetError
        If the data is not there any more or not what it was.
    """
    run = Run.open(folder)
    prepared, features = _prepare(run, dataset, cache, progress)
    return TrainedRun(run, prepared, features, _trained(run, prepared, features))


def _prepare(
    run: Run,
    moved_to: Path | None,
    cache: Path,
    progress: Callable[[int, int], None] | None,
) -> tuple[PreparedData, FeatureCache]:
    about = run.about
    model = find_model(about.model)
    recipe = kept_recipe(model.recipe, about.recipe, str(run.folder))
    root = moved_to or Path(about.dataset)
    if moved_to is None and not root.exists():
        msg = f"{root}: {run.folder} was trained on this, and it is not there any more"
        raise DatasetError(f"{msg}; put it back, or say with --dataset where it is now")
    prepared = prepare(
        model, open_dataset(root, about.year, machines=about.machines), recipe, cache
    )
    features = FeatureCache(cache, progress)
    _check_same(prepared, features, run, root)
    return prepared, features


def _check_same(prepared: PreparedData, features: FeatureCache, run: Run, root: Path) -> None:
    """Raise DatasetError unless the clips are those that the run was trained on."""
    about, clips = run.about, prepared.sources
    found = features.fingerprint([clip.path for clip in clips], [clip.name for clip in clips])
    if found != about.fingerprint:
        expected = sum(about.targets.values()) + sum(about.held_out.values())
        what = (
            f"found {len(prepared.clips)} clips, expected {expected}"
            if len(prepared.clips) != expected
            else "the contents or names of some have changed"
        )
        msg = f"{root}: its training clips are not those that {run.folder} was trained on ({what})"
        raise DatasetError(f"{msg}; restore them, or train again")


def _trained(run: Run, prepared: PreparedData, features: FeatureCache) -> dict[str, nn.Module]:
    networks = {}
    begun = (run.about.initial or {"networks": ()})["networks"]
    for name in prepared.networks:
        network = prepared.new_task(name, run.about.seed, features).network
        if prepared.recipe.epochs or name in begun:
            _load_weights(network, name, run, prepared.recipe)
        networks[name] = network.eval()
    return networks


def _load_weights(network: nn.Module, name: str, run: Run, recipe: Recipe) -> None:
    kept = latest_checkpoint(run.checkpoints(name))
    done = 0 if kept is None else kept["epoch"]
    if kept is None or done < recipe.epochs:
        msg = f"{run.folder}: network {name} is trained for {done} of {recipe.epochs} epochs"
        raise RunError(f"{msg}; finish it with `asd-monitor train ... --resume`")
    check_identity(kept, recipe, name, run.about.seed)
    try:
        network.load_state_dict(kept["weights"])
    except RuntimeError as error:
        msg = f"{run.folder}: network {name} does not fit this version: {error}"
        raise RunError(msg) from error
