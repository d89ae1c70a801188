"""Train all networks of a model on a dataset, in a run's folder."""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import ConfigError, DatasetError, RunError, SourceError
from asd_monitor.progress import Progress
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import read_recipe
from asd_offline.training.batches import check_batch_size
from asd_offline.training.checkpoints import list_checkpoints
from asd_offline.training.distributed import Process
from asd_offline.training.initial_weights import (
    InitialFile,
    load_initial_weights,
    read_initial_files,
)
from asd_offline.training.loop import CHECKPOINT_INTERVAL_S, Trainer
from asd_offline.training.out_of_memory import out_of_memory_as_config_error
from asd_offline.training.plots import draw_curves
from asd_offline.training.prepare import PreparedData, find_model, prepare
from asd_offline.training.recorder import Recorder
from asd_offline.training.run_folder import Run, RunMetadata


@dataclass(frozen=True)
class TrainRequest:
    """The arguments of a training run."""

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
    """Weight files to start from: ``FILE``, or ``NETWORK=FILE``."""
    resume: bool = False
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S


@dataclass(frozen=True)
class _TrainingContext:
    prepared: PreparedData
    features: FeatureCache
    initial_files: Sequence[InitialFile]
    process: Process
    progress: Progress


def train(request: TrainRequest, process: Process, progress: Progress) -> Run:
    """Train all networks that a model needs for a dataset.

    Raises
    ------
    ConfigError
        If the model, the recipe or a machine is wrong, the batches are too small for the number of
        processes, or memory is too small.
    DatasetError
        If there are no training clips, or too few.
    RunError
        If the run cannot be written or resumed.
    """
    model = find_model(request.model)
    recipe = read_recipe(request.recipe, request.model, model.recipe, epochs=request.epochs)
    if recipe.epochs:
        check_batch_size(recipe.batch_size, process)
    dataset = open_dataset(request.dataset, request.year, machines=request.machines or None)
    prepared = prepare(model, dataset, recipe, request.cache, progress)
    for note in (*dataset.notes, *prepared.notes) if process.is_first else ():
        progress.message(note)
    prepared.recipe.check()
    features = FeatureCache(request.cache, progress)
    arguments = request.init_from if process.is_first else ()
    initial_files = read_initial_files(arguments, prepared.networks)
    if process.is_first:
        metadata = _describe(request, prepared, features, initial_files)
        Run.create(request.out, metadata, resume=request.resume)
    process.wait()
    run = Run.open(request.out)
    context = _TrainingContext(prepared, features, initial_files, process, progress)
    if not process.is_first:
        return _train_networks(context, run, request.checkpoint_interval_s)
    with run.lock():
        try:
            run = _train_networks(context, run, request.checkpoint_interval_s)
        except (ConfigError, DatasetError, SourceError):
            if not request.resume:  # the same command must work once the input is corrected
                run.delete_if_untrained()
            raise
        except BaseException:
            with suppress(RunError):  # must not hide what stopped the training
                draw_curves(run)
            raise
        draw_curves(run)
    return run


@out_of_memory_as_config_error()
def _train_networks(context: _TrainingContext, run: Run, checkpoint_interval_s: float) -> Run:
    prepared, process = context.prepared, context.process
    seed = run.metadata.seed
    if process.is_first:
        if prepared.recipe.epochs:
            _warm_feature_cache(context, seed)
        if run.metadata.initial:
            run = _load_all_initial_weights(context, run)
    process.wait()
    for name in prepared.networks if prepared.recipe.epochs else ():
        trainer = Trainer(
            prepared.new_task(name, seed, context.features),
            prepared.recipe,
            name=name,
            seed=seed,
            folder=run.checkpoint_folder(name),
            process=process,
            checkpoint_interval_s=checkpoint_interval_s,
        )
        recorder = Recorder(prepared, name, run, context.features, process.device, context.progress)
        with closing(recorder):
            trainer.train(recorder, context.progress)
    return run


def _warm_feature_cache(context: _TrainingContext, seed: int) -> None:
    """Read the clips of all networks before training, to report damaged clips at once.

    The first network's clips are read next in any case.
    """
    for name in tuple(context.prepared.networks)[1:]:
        context.prepared.new_task(name, seed, context.features)


def _load_all_initial_weights(context: _TrainingContext, run: Run) -> Run:
    """Load the initial weights of all networks before training, to report wrong files at once."""
    prepared = context.prepared
    for name in prepared.networks:
        if list_checkpoints(run.checkpoint_folder(name)):
            continue
        network = prepared.new_task(name, run.metadata.seed, context.features).network
        run, notes = load_initial_weights(
            run, name, network, prepared.recipe, context.initial_files
        )
        for note in notes:
            context.progress.message(note)
    return run


def _describe(
    request: TrainRequest,
    prepared: PreparedData,
    features: FeatureCache,
    initial_files: Sequence[InitialFile],
) -> RunMetadata:
    clips = prepared.sources
    files = [file.to_dict() for file in initial_files]
    return RunMetadata(
        model=request.model,
        recipe=prepared.recipe.model_dump(mode="json"),
        seed=request.seed,
        dataset=str(request.dataset.resolve()),
        year=prepared.dataset.year,
        machines=tuple(dict.fromkeys(target.machine for target in prepared.targets)),
        targets={target.name: len(target.clips) for target in prepared.targets},
        held_out={target.name: len(target.held_out) for target in prepared.targets},
        fingerprint=features.fingerprint([c.path for c in clips], [c.name for c in clips]),
        initial={"files": files, "networks": {}} if files else None,
    )
