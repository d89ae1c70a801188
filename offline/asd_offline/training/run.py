"""A whole training run: a dataset and a recipe become trained networks in a folder."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import ConfigError, DatasetError, RunError, SourceError
from asd_monitor.records import SCORED_QUALITIES
from asd_offline.datasets.audio_files import length_of, read_training_clip, which_channel
from asd_offline.datasets.clip import Clip, Dataset
from asd_offline.datasets.loading import open_dataset
from asd_offline.datasets.targets import Target, plan_targets
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS, Model
from asd_offline.recipes import Recipe, read_recipe, resolve_and_tell
from asd_offline.training.checkpoints import checkpoints_in
from asd_offline.training.distributed import Process
from asd_offline.training.initial_weights import InitialFile, read_initial, start_from
from asd_offline.training.loop import KEEP_EVERY_S, Epoch, seed_of, train_network
from asd_offline.training.out_of_memory import memory_told
from asd_offline.training.plots import draw_curves
from asd_offline.training.recorder import Recorder
from asd_offline.training.run_folder import About, Run
from asd_offline.training.split_recordings import cut_long, without_leftovers

PARTS = "parts"
"""Folder in the cache for parts of long recordings."""
FEWEST_CALIBRATION = 2
"""Windows that a calibration needs."""


@dataclass(frozen=True)
class Request:
    """What is to be trained."""

    model: str
    dataset: Path
    out: Path
    cache: Path
    machines: tuple[str, ...] = ()
    """Empty: all."""
    year: int | None = None
    recipe: Path | None = None
    epochs: int | None = None
    """None: as the recipe says."""
    seed: int = 0
    init_from: tuple[str, ...] = ()
    """Files of weights to begin with: ``FILE``, or ``NETWORK=FILE``."""
    resume: bool = False
    keep_every_s: float = KEEP_EVERY_S


class Show(Protocol):
    """Whoever shows how the run goes."""

    def features(self, done: int, total: int) -> None:
        """So many clips are read."""

    def network(self, name: str, epochs: int) -> None:
        """Training of a network begins or goes on."""

    def batch(self, done: int, total: int) -> None:
        """So many batches of an epoch are done."""

    def epoch(self, epoch: Epoch, auc: Mapping[str, float]) -> None:
        """An epoch is done."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Prepared:
    """A dataset divided for a model."""

    dataset: Dataset
    recipe: Recipe
    targets: tuple[Target, ...]
    networks: Mapping[str, tuple[Target, ...]]
    recordings: tuple[Clip, ...] = ()
    """What clips were cut from or chosen from; empty where they are the recordings."""
    notes: tuple[str, ...] = ()
    """What was decided while dividing and should be shown to the user."""

    @property
    def clips(self) -> list[Clip]:
        """All training clips, held-out ones included."""
        return [clip for each in self.targets for clip in (*each.clips, *each.held_out)]

    @property
    def sources(self) -> list[Clip]:
        """The files that the clips are or come from: what a run is known by."""
        return list(self.recordings) or self.clips


def find_model(name: str) -> Model:
    """Return a model by name, or raise ConfigError with the names there are."""
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def prepare(model: Model, dataset: Dataset, recipe: Recipe, cache: Path | None = None) -> Prepared:
    """Divide a dataset among targets and networks.

    Parameters
    ----------
    cache
        Where parts of long recordings are kept; None: nothing is cut or left out.

    Raises
    ------
    DatasetError
        If there is nothing to train on, or too little.
    """
    clips = dataset.select(split="train")
    if not clips:
        found = f"{len(dataset.clips)} clips, all of them for testing" if dataset.clips else "none"
        msg = f"{dataset.root}: expected normal training clips, found {found}"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    parts: Sequence[Clip] = clips
    notes: list[str] = []
    if cache is not None:
        parts, cut = cut_long(clips, cache / PARTS, recipe.window_s)
        parts, left_out = without_leftovers(parts, recipe.window_s)
        notes = cut + left_out
    recipe, of_windows = resolve_and_tell(recipe, parts)
    targets = plan_targets(parts, recipe.held_out_share)
    cut_from = clips if notes else ()
    networks = model.networks(targets)
    channels = [length_of(clip.path).channels for clip in clips]
    told = (*notes, *of_windows, *which_channel(channels, 0, "training recordings"))
    return Prepared(dataset, recipe, targets, networks, cut_from, told)


def train(request: Request, process: Process, show: Show) -> Run:
    """Train all networks that a model needs for a dataset.

    Raises
    ------
    ConfigError
        If the model, the recipe or a machine is wrong.
    DatasetError
        If there is nothing to train on, or too little.
    RunError
        If the run cannot be written or resumed.
    """
    model = find_model(request.model)
    recipe = read_recipe(request.recipe, request.model, model.recipe, epochs=request.epochs)
    dataset = open_dataset(request.dataset, request.year, machines=request.machines or None)
    prepared = prepare(model, dataset, recipe, request.cache)
    for note in (*dataset.notes, *prepared.notes) if process.first else ():
        show.note(note)
    if (check := getattr(model, "check", None)) is not None:
        check(prepared.recipe)
    features = FeatureCache(request.cache, show.features)
    files = read_initial(request.init_from if process.first else (), prepared.networks)
    about = _about(request, prepared, features, files)
    if process.first:
        if not request.resume:
            _check_held_out(prepared)
        Run.create(request.out, about, resume=request.resume)
    process.wait()
    run = Run.open(request.out)
    parts = _Parts(model, prepared, features, files)
    if not process.first:
        return _train_all(parts, run, process, show, request.keep_every_s)
    with run.locked():
        try:
            run = _train_all(parts, run, process, show, request.keep_every_s)
        except (ConfigError, DatasetError, SourceError):
            if not request.resume:  # put right, the same command is to work
                run.abandon()
            raise
        except BaseException:
            with suppress(RunError):  # what stopped the training is what the user must hear of
                draw_curves(run)
            raise
        draw_curves(run)
    return run


def _check_held_out(prepared: Prepared) -> None:
    """Read the clips that only the export needs: what is wrong is told before hours of training."""
    recipe = prepared.recipe
    size = recipe.window_samples
    for target in prepared.targets:
        scored = 0
        for clip in target.held_out:
            samples = read_training_clip(clip.path, recipe.sample_rate_hz)
            windows = clip_windows(samples, size, size)
            scored += sum(assess(each).quality in SCORED_QUALITIES for each in windows)
        if scored < FEWEST_CALIBRATION:
            msg = (
                f"{target.name}: expected at least {FEWEST_CALIBRATION} windows with sound in the "
                f"{len(target.held_out)} clips that are kept for the calibration, found {scored}"
            )
            raise DatasetError(f"{msg}; take silent or constant clips out, or record more")
    if not recipe.epochs:  # then these are read by the export alone, too
        for clip in (clip for target in prepared.targets for clip in target.clips):
            read_training_clip(clip.path, recipe.sample_rate_hz)


def new_network(
    model: Model, prepared: Prepared, name: str, seed: int, features: FeatureCache
) -> Any:  # noqa: ANN401 - a Task; models may return richer ones
    """Return the task of a network as it is before training."""
    torch.manual_seed(seed_of(seed, name))
    return model.task(prepared.networks[name], prepared.recipe, features)


@dataclass(frozen=True)
class _Parts:
    model: Model
    prepared: Prepared
    features: FeatureCache
    files: Sequence[InitialFile]


@memory_told()
def _train_all(parts: _Parts, run: Run, process: Process, show: Show, keep_every_s: float) -> Run:
    model, prepared, features = parts.model, parts.prepared, parts.features
    if process.first:
        if prepared.recipe.epochs:
            _read_all(parts, run.about.seed)
        if run.about.initial:
            run = _begin_all(parts, run, show)
    process.wait()
    for name in prepared.networks if prepared.recipe.epochs else ():
        task = new_network(model, prepared, name, run.about.seed, features)
        show.network(name, prepared.recipe.epochs)
        with Recorder(model, prepared, name, run, features, process, show) as recorder:
            train_network(
                task,
                prepared.recipe,
                name=name,
                seed=run.about.seed,
                folder=run.checkpoints(name),
                process=process,
                watcher=recorder,
                keep_every_s=keep_every_s,
            )
    return run


def _read_all(parts: _Parts, seed: int) -> None:
    """Read the clips of every network but the first, which is read next, before any is trained."""
    for name in tuple(parts.prepared.networks)[1:]:
        new_network(parts.model, parts.prepared, name, seed, parts.features)


def _begin_all(parts: _Parts, run: Run, show: Show) -> Run:
    """Put initial weights into every network before any is trained: a wrong file is told now."""
    for name in parts.prepared.networks:
        if checkpoints_in(run.checkpoints(name)):
            continue
        network = new_network(
            parts.model, parts.prepared, name, run.about.seed, parts.features
        ).network
        run, told = start_from(run, name, network, parts.prepared.recipe, parts.files)
        for sentence in told:
            show.note(sentence)
    return run


def _about(
    request: Request, prepared: Prepared, features: FeatureCache, files: Sequence[InitialFile]
) -> About:
    clips = prepared.sources
    return About(
        model=request.model,
        recipe=prepared.recipe.model_dump(mode="json"),
        seed=request.seed,
        dataset=str(request.dataset.resolve()),
        year=prepared.dataset.year,
        machines=tuple(dict.fromkeys(target.machine for target in prepared.targets)),
        targets={target.name: len(target.clips) for target in prepared.targets},
        held_out={target.name: len(target.held_out) for target in prepared.targets},
        fingerprint=features.fingerprint([c.path for c in clips], [c.name for c in clips]),
        initial={"files": [each.to_dict() for each in files], "networks": {}} if files else None,
    )
