"""A whole training run: a dataset and a recipe become trained networks in a folder."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import ConfigError, DatasetError, RunError, SourceError
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import read_recipe
from asd_offline.training.checkpoints import checkpoints_in
from asd_offline.training.distributed import Process
from asd_offline.training.initial_weights import InitialFile, read_initial, start_from
from asd_offline.training.loop import KEEP_EVERY_S, Show, train_network
from asd_offline.training.out_of_memory import out_of_memory_as_config_error
from asd_offline.training.plots import draw_curves
from asd_offline.training.prepare import PreparedData, check_held_out, find_model, prepare
from asd_offline.training.recorder import Recorder
from asd_offline.training.run_folder import About, Run


@dataclass(frozen=True)
class TrainRequest:
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


def train(request: TrainRequest, process: Process, show: Show) -> Run:
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
    prepared.recipe.check()
    features = FeatureCache(request.cache, show.features)
    files = read_initial(request.init_from if process.first else (), prepared.networks)
    about = _about(request, prepared, features, files)
    if process.first:
        if not request.resume:
            check_held_out(prepared)
        Run.create(request.out, about, resume=request.resume)
    process.wait()
    run = Run.open(request.out)
    parts = _Parts(prepared, features, files)
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


@dataclass(frozen=True)
class _Parts:
    prepared: PreparedData
    features: FeatureCache
    files: Sequence[InitialFile]


@out_of_memory_as_config_error()
def _train_all(parts: _Parts, run: Run, process: Process, show: Show, keep_every_s: float) -> Run:
    prepared, features = parts.prepared, parts.features
    if process.first:
        if prepared.recipe.epochs:
            _read_all(parts, run.about.seed)
        if run.about.initial:
            run = _begin_all(parts, run, show)
    process.wait()
    for name in prepared.networks if prepared.recipe.epochs else ():
        task = prepared.new_task(name, run.about.seed, features)
        show.network(name, prepared.recipe.epochs)
        with Recorder(prepared, name, run, features, process, show) as recorder:
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
        parts.prepared.new_task(name, seed, parts.features)


def _begin_all(parts: _Parts, run: Run, show: Show) -> Run:
    """Put initial weights into every network before any is trained: a wrong file is told now."""
    for name in parts.prepared.networks:
        if checkpoints_in(run.checkpoints(name)):
            continue
        network = parts.prepared.new_task(name, run.about.seed, parts.features).network
        run, told = start_from(run, name, network, parts.prepared.recipe, parts.files)
        for sentence in told:
            show.note(sentence)
    return run


def _about(
    request: TrainRequest,
    prepared: PreparedData,
    features: FeatureCache,
    files: Sequence[InitialFile],
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
