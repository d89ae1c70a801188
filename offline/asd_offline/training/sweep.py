"""Train one model with several recipes and seeds, as independent jobs."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asd_monitor.errors import AsdMonitorError, ConfigError, RunError
from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import Progress
from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import Tick, sigterm_as_interrupt
from asd_offline.jobs.result_file import write_result
from asd_offline.jobs.shards import Shard
from asd_offline.training.run import TrainRequest

PRELOADED_MODULES = ("torch", "asd_offline.training.sweep")
RUN_BYTES = 2**32
"""Memory that a training counts as on a cluster."""
PUBLISHED = "published"
"""Name of the runs without a recipe file."""


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What is trained, and where."""

    request: TrainRequest
    """Of all runs; ``out`` is the folder of the runs, ``seed`` the first seed."""
    recipes: tuple[Path, ...] = ()
    """Empty: the published values."""
    seeds: int = 1
    device: str = "auto"
    jobs: int | None = None
    """Number of simultaneous runs; None: one per core, or one on a GPU."""
    cluster: str = ""
    shard: Shard | None = None
    """None: all runs."""


@dataclass(frozen=True, slots=True)
class SweepRun:
    """The result of one run."""

    name: str
    key: str
    """Digest of what determines the run."""
    epochs: tuple[dict[str, Any], ...] = ()
    """The last epoch of each network."""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class SweepJob:
    """Train one run, or resume one that was stopped."""

    name: str
    key: str
    request: TrainRequest
    device: str

    @property
    def result(self) -> Path:
        """JSON of a :class:`SweepRun`, next to the folder of the run."""
        return self.request.out.with_name(f"{self.name}.json")

    @property
    def work(self) -> float:
        """Number of runs."""
        return 1.0

    def run(self, tick: Tick) -> None:
        """Train and write the result; a failure that the user can act on is a result too."""
        from asd_offline.training.distributed import join_process_group
        from asd_offline.training.run import train

        resume = (self.request.out / "run.json").exists()
        try:
            with join_process_group(self.device) as process:
                request = replace(self.request, resume=resume)
                trained = train(request, process, _EpochProgress(tick))
            last = {line["network"]: line for line in trained.metrics()}
            result = SweepRun(self.name, self.key, tuple(last.values()))
        except AsdMonitorError as error:
            result = SweepRun(self.name, self.key, failure=str(error))
        write_result(self.result, json.dumps(asdict(result)) + "\n")


class _EpochProgress:
    """Lets the pool stop a training after each epoch; the work counts when the run is finished."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        self._tick(0.0)

    def message(self, text: str) -> None:
        """Do nothing: the run's folder has all notes that matter."""


def sweep(settings: SweepSettings, progress: Progress) -> list[SweepRun]:
    """Train all runs, or those of one shard; finished ones are not repeated.

    Raises
    ------
    ConfigError
        If two recipes have the same file name.
    RunError
        If a result cannot be written.
    """
    jobs = _plan(settings)
    if settings.shard:
        jobs = settings.shard.take(jobs)
    _create(settings.request.out)
    for job in jobs:
        earlier = read_sweep_run(job.result)
        if earlier is None or earlier.failure is not None or earlier.key != job.key:
            job.result.unlink(missing_ok=True)
    finished = sum(job.result.exists() for job in jobs)
    device = resolve_device(settings.device, settings.cluster)
    pool_of_runs = open_pool(
        _simultaneous_runs(settings, device),
        PRELOADED_MODULES,
        cluster=settings.cluster,
        shared=settings.request.out,
        device=device,
        job_bytes=RUN_BYTES,
        notify=progress.message,
    )
    with sigterm_as_interrupt(), pool_of_runs as pool:
        pool.run(jobs, lambda done: progress.update("runs", finished + done, len(jobs)))
    return [run for job in jobs if (run := read_sweep_run(job.result)) is not None]


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be created: {error.strerror}; choose another --out"
        raise RunError(msg) from error


def read_sweep_run(path: Path) -> SweepRun | None:
    """Read the result of a run; None if there is none, or it cannot be used."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return SweepRun(**values | {"epochs": tuple(values["epochs"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plan(settings: SweepSettings) -> list[SweepJob]:
    """Return the runs: every recipe with the first seed, then with the next, and so on."""
    recipes: Sequence[Path | None] = settings.recipes or (None,)
    stems = [recipe.stem if recipe else PUBLISHED for recipe in recipes]
    if len(set(stems)) < len(stems):
        msg = f"--config: expected recipes with different file names, found {', '.join(stems)}"
        raise ConfigError(msg)
    first = settings.request.seed
    device = resolve_device(settings.device, settings.cluster)
    jobs = []
    for seed in range(first, first + settings.seeds):
        for recipe, stem in zip(recipes, stems, strict=True):
            name = f"{stem}-seed{seed}"
            request = replace(
                settings.request, out=settings.request.out / name, recipe=recipe, seed=seed
            )
            jobs.append(SweepJob(name, _key(request), request, device))
    return jobs


def _key(request: TrainRequest) -> str:
    """Return a digest of everything that determines a run, except for the clips' contents."""
    from asd_offline.training.run_folder import library_versions

    try:
        recipe = request.recipe.read_bytes().hex() if request.recipe else ""
    except OSError as error:
        msg = f"{request.recipe}: cannot be read: {error.strerror}; give a recipe with --config"
        raise ConfigError(msg) from error
    values = asdict(request) | {"recipe": recipe, "versions": library_versions()}
    return hashlib.sha256(
        json.dumps(values, sort_keys=True, default=os.fspath).encode()
    ).hexdigest()


def _simultaneous_runs(settings: SweepSettings, device: str) -> int:
    if settings.jobs:
        return limit_workers(settings.jobs, device)
    return 1 if device == "cuda" else available_cores()
