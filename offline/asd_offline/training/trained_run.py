"""Load a finished run with its data and trained networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from asd_monitor.errors import DatasetError, RunError
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import restore_recipe
from asd_offline.training.checkpoints import Identity, latest_checkpoint
from asd_offline.training.prepare import PreparedData, find_model, prepare
from asd_offline.training.run_folder import Run


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its networks."""

    run: Run
    prepared: PreparedData
    features: FeatureCache
    networks: Mapping[str, nn.Module]


def load_trained_run(
    folder: Path,
    cache: Path,
    dataset: Path | None = None,
    progress: Progress | None = None,
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
        Receives the computation of features.

    Raises
    ------
    RunError
        If the run is not finished, damaged, or does not fit this version.
    DatasetError
        If the data is missing or has changed.
    """
    run = Run.open(folder)
    prepared = _prepare(run, dataset, cache, progress)
    features = FeatureCache(cache, progress or NoProgress())
    _check_clips(prepared, features, run)
    return TrainedRun(run, prepared, features, _load_networks(run, prepared, features))


def _prepare(
    run: Run, moved_to: Path | None, cache: Path, progress: Progress | None
) -> PreparedData:
    metadata = run.metadata
    model = find_model(metadata.model)
    recipe = restore_recipe(model.recipe, metadata.recipe, str(run.folder))
    root = moved_to or Path(metadata.dataset)
    if moved_to is None and not root.exists():
        msg = f"{root}: {run.folder} was trained on this folder, which no longer exists"
        raise DatasetError(f"{msg}; restore it, or give its new place with --dataset")
    dataset = open_dataset(root, metadata.year, machines=metadata.machines)
    return prepare(model, dataset, recipe, cache, progress)


def _check_clips(prepared: PreparedData, features: FeatureCache, run: Run) -> None:
    """Raise DatasetError unless the clips are those that the run was trained on."""
    metadata, clips = run.metadata, prepared.sources
    found = features.fingerprint([clip.path for clip in clips], [clip.name for clip in clips])
    if found != metadata.fingerprint:
        expected = sum(metadata.targets.values()) + sum(metadata.held_out.values())
        difference = (
            f"found {len(prepared.clips)} clips, expected {expected}"
            if len(prepared.clips) != expected
            else "the contents or names of some have changed"
        )
        root = prepared.dataset.root
        msg = f"{root}: its training clips are not those that {run.folder} was trained on"
        raise DatasetError(f"{msg} ({difference}); restore them, or train again")


def _load_networks(
    run: Run, prepared: PreparedData, features: FeatureCache
) -> dict[str, nn.Module]:
    initialised = run.metadata.initial["networks"] if run.metadata.initial else ()
    networks = {}
    for name in prepared.networks:
        network = prepared.new_task(name, run.metadata.seed, features).network
        if prepared.recipe.epochs or name in initialised:
            _load_weights(network, run, Identity(name, run.metadata.seed, prepared.recipe))
        networks[name] = network.eval()
    return networks


def _load_weights(network: nn.Module, run: Run, identity: Identity) -> None:
    name, epochs = identity.network, identity.recipe.epochs
    checkpoint = latest_checkpoint(run.checkpoint_folder(name))
    epochs_done = 0 if checkpoint is None else checkpoint["epoch"]
    if checkpoint is None or epochs_done < epochs:
        msg = f"{run.folder}: network {name} is trained for {epochs_done} of {epochs} epochs"
        raise RunError(f"{msg}; finish it with `asd-monitor train ... --resume`")
    identity.check(checkpoint)
    try:
        network.load_state_dict(checkpoint["weights"])
    except RuntimeError as error:
        msg = f"{run.folder}: network {name} does not fit this version: {error}"
        raise RunError(msg) from error
