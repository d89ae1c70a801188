"""A whole training run: a dataset and a recipe become trained networks in a folder."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_offline.clip_scoring import labelled_auc
from asd_offline.curves import draw_curves
from asd_offline.datasets.clip import Clip, Dataset
from asd_offline.datasets.opening import open_dataset
from asd_offline.feature_cache import FeatureCache
from asd_offline.initial_weights import InitialFile, read_initial, start_from
from asd_offline.models import MODELS, Model
from asd_offline.processes import Process
from asd_offline.recipes import Recipe, read_recipe, resolve
from asd_offline.runs import About, Run
from asd_offline.targets import Target, plan_targets
from asd_offline.training import KEEP_EVERY_S, Epoch, seed_of, train_network

AUC_CLIPS_AT_MOST = 200


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

    @property
    def clips(self) -> list[Clip]:
        """All training clips, held-out ones included."""
        return [clip for each in self.targets for clip in (*each.clips, *each.held_out)]


def find_model(name: str) -> Model:
    """Return a model by name, or raise ConfigError with the names there are."""
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def prepare(model: Model, dataset: Dataset, recipe: Recipe) -> Prepared:
    """Divide a dataset among targets and networks.

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
    recipe = resolve(recipe, clips)
    targets = plan_targets(clips, recipe.held_out_share)
    return Prepared(dataset, recipe, targets, model.networks(targets))


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
    for note in dataset.notes if process.first else ():
        show.note(note)
    prepared = prepare(model, dataset, recipe)
    if (check := getattr(model, "check", None)) is not None:
        check(prepared.recipe)
    features = FeatureCache(request.cache, show.features)
    files = read_initial(request.init_from if process.first else (), prepared.networks)
    about = _about(request, prepared, features, files)
    if process.first:
        Run.create(request.out, about, resume=request.resume)
    process.wait()
    run = Run.open(request.out)
    parts = _Parts(model, prepared, features, files)
    if not process.first:
        return _train_all(parts, run, process, show, request.keep_every_s)
    with run.locked():
        try:
            run = _train_all(parts, run, process, show, request.keep_every_s)
        except BaseException:
            with suppress(RunError):  # what stopped the training is what the user must hear of
                draw_curves(run)
            raise
        draw_curves(run)
    return run


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


def _train_all(parts: _Parts, run: Run, process: Process, show: Show, keep_every_s: float) -> Run:
    model, prepared, features = parts.model, parts.prepared, parts.features
    epochs = prepared.recipe.epochs
    for name in prepared.networks if epochs or run.about.initial else ():
        task = new_network(model, prepared, name, run.about.seed, features)
        if process.first:
            run, told = start_from(run, name, task.network, prepared.recipe, parts.files)
            for sentence in told:
                show.note(sentence)
        process.wait()
        if not epochs:
            continue
        show.network(name, epochs)
        with _Recorder(model, prepared, name, run, features, process, show) as recorder:
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


def _about(
    request: Request, prepared: Prepared, features: FeatureCache, files: Sequence[InitialFile]
) -> About:
    clips = prepared.clips
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


class _Recorder:
    """Writes metrics, TensorBoard and the points of the AUC picture of one network."""

    def __init__(
        self,
        model: Model,
        prepared: Prepared,
        name: str,
        run: Run,
        features: FeatureCache,
        process: Process,
        show: Show,
    ) -> None:
        self._model, self._prepared, self._name, self._run = model, prepared, name, run
        self._features, self._device, self._show = features, process.device, show
        self._board = _tensorboard(run, name) if process.first else None
        self._auc_clips = _auc_clips(prepared, name)
        epochs, every = prepared.recipe.epochs, prepared.recipe.auc_every
        self._auc_every = max(1, epochs // 10) if every is None else every

    def __enter__(self) -> "_Recorder":
        return self

    def __exit__(self, *reason: object) -> None:
        if self._board is not None:
            self._board.close()

    def resumed(self, epochs_done: int) -> None:
        self._run.forget_after(self._name, epochs_done)

    def batch(self, done: int, total: int) -> None:
        self._show.batch(done, total)

    def epoch(self, epoch: Epoch, network: nn.Module) -> None:
        auc = self._auc(epoch.number, network)
        line: dict[str, Any] = {
            "network": self._name,
            "epoch": epoch.number,
            "loss": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "seconds": round(epoch.seconds, 4),
            "at": round(time.time(), 3),
        }
        self._run.add_metrics(line | ({"auc": auc} if auc else {}))
        if self._board is not None:
            self._board.add_scalar(f"loss/{self._name}", epoch.loss, epoch.number)
            for target, value in auc.items():
                self._board.add_scalar(f"auc/{target}", value, epoch.number)
        self._show.epoch(epoch, auc)

    def _auc(self, number: int, network: nn.Module) -> Mapping[str, float]:
        last = number == self._prepared.recipe.epochs
        if not self._auc_clips or not self._auc_every:
            return {}
        if not last and number % self._auc_every:
            return {}
        targets = self._prepared.networks[self._name]
        with torch.no_grad():
            detector = self._model.detector(
                {self._name: network.eval()},
                {self._name: targets},
                self._prepared.recipe,
                self._features,
            ).to(self._device)
        names = [target.name for target in targets]
        return labelled_auc(detector, names, self._auc_clips, self._prepared.recipe, self._device)


def _auc_clips(prepared: Prepared, name: str) -> Sequence[Clip]:
    """Return labelled test clips, evenly spread where there are very many."""
    machines = {target.machine for target in prepared.networks[name]}
    clips = [
        clip
        for clip in prepared.dataset.select(split="test")
        if clip.machine in machines and clip.label is not None
    ]
    return clips[:: -(-len(clips) // AUC_CLIPS_AT_MOST) or 1]


def _tensorboard(run: Run, name: str) -> Any:  # noqa: ANN401 - tensorboard has no types
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run.folder / "tensorboard" / run.checkpoints(name).name))
