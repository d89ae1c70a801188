"""Compare models on one dataset: the same rule for all, and no run done twice."""

import os
from collections.abc import Sequence
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import Progress
from asd_monitor.terminal.durations import format_rough_duration
from asd_offline.comparison.candidates import Candidate
from asd_offline.comparison.folder_lock import locked_folder
from asd_offline.comparison.job import CompareJob
from asd_offline.comparison.plan import data_digest, plan_comparison
from asd_offline.comparison.run_result import OVERALL, RunResult, read_run_result
from asd_offline.comparison.settings import CompareSettings
from asd_offline.comparison.summary import Comparison, ModelSummary, Run
from asd_offline.comparison.timing import ModelCost, measure_cost
from asd_offline.comparison.writers import write_files
from asd_offline.datasets import Dataset
from asd_offline.datasets.year_record import is_synthetic
from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import sigterm_as_interrupt
from asd_offline.jobs.shards import Shard
from asd_offline.replay.run import PRELOADED_MODULES

JOB_BYTES = 2**32
"""Memory of a run; small recipes took up to 2.2 GB, published ones may take more."""


def compare(settings: CompareSettings, progress: Progress) -> Comparison:
    """Train, export and replay every model with every seed, and write the results.

    The rule is the same for all: the recipe as given, the last epoch, the model's default score and
    the clip scores of ``replay``. Test labels are used once, for the metrics. A run that has a
    result for the same recipe, data and versions is not repeated, one that was stopped is resumed,
    and one that fails does not stop the others.

    Parameters
    ----------
    settings
        What is compared, and how.
    progress
        Receives the stage ``runs``, and a message for each model and each finished run.

    Raises
    ------
    ConfigError
        If a model, a recipe or a setting is wrong.
    DatasetError
        If the dataset cannot be opened, has no training clips or no labelled test clips.
    RunError
        If the folder is in use, or the disk is full.
    """
    dataset, candidates, jobs = plan_comparison(settings, progress)
    with locked_folder(settings.out):
        _run_jobs(list(jobs), settings, progress)
        comparison = _summarize(settings, dataset, candidates, jobs)
        write_files(settings.out, comparison)
    return comparison


def compare_shard(
    settings: CompareSettings, shard: Shard, progress: Progress
) -> tuple[list[str], int]:
    """Do the runs of one shard, without a table; see :func:`compare` for the arguments and errors.

    Returns
    -------
    tuple[list[str], int]
        The runs of this shard that failed, such as ``autoencoder seed 2``, and the number of its
        runs.
    """
    _, _, planned = plan_comparison(settings, progress)
    jobs = shard.take([*planned])
    with locked_folder(settings.out, shard):
        _run_jobs(jobs, settings, progress)
    results = {job: read_run_result(job.result) for job in jobs}
    failed = [
        f"{job.name} seed {job.seed}"
        for job, result in results.items()
        if result is None or result.failure is not None
    ]
    return failed, len(jobs)


def _simultaneous_jobs(settings: CompareSettings, device: str) -> int:
    if settings.cluster:
        return 1
    if settings.jobs is not None:
        return limit_workers(settings.jobs, device)
    if device == "cuda":
        return 1
    return max(1, min(available_cores(), _available_bytes() // JOB_BYTES))


def _available_bytes() -> int:
    """Return the memory that can be used without swapping, file caches included."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _run_jobs(jobs: Sequence[CompareJob], settings: CompareSettings, progress: Progress) -> None:
    for job in jobs:
        earlier = read_run_result(job.result)
        if earlier is None or earlier.failure is not None:
            job.result.unlink(missing_ok=True)
    unfinished = [job for job in jobs if not job.result.exists()]
    finished_before = len(jobs) - len(unfinished)
    if finished_before:
        progress.message(f"{finished_before} of {len(jobs)} runs are already finished")

    def report(done: float) -> None:
        for job in [job for job in unfinished if job.result.exists()]:
            result = read_run_result(job.result)
            if result is not None:
                unfinished.remove(job)
                number = len(jobs) - len(unfinished)
                progress.message(f"{number}/{len(jobs)} {_describe(job.name, result)}")
        progress.update("runs", min(finished_before + done, len(jobs)), len(jobs))

    device = resolve_device(settings.device, settings.cluster)
    pool_of_runs = open_pool(
        _simultaneous_jobs(settings, device),
        PRELOADED_MODULES,
        cluster=settings.cluster,
        shared=settings.out,
        device=device,
        job_bytes=JOB_BYTES,
        notify=progress.message,
    )
    with sigterm_as_interrupt(), pool_of_runs as pool:
        pool.run(jobs, report)
    if unfinished:
        report(float(len(jobs) - finished_before))


def _describe(name: str, result: RunResult) -> str:
    """Return AUC and training time, or the failure, in one line."""
    run = f"{name}, seed {result.seed}: "
    if result.failure is not None:
        return run + result.failure
    auc = result.metrics.get(OVERALL, {}).get("auc")
    run += "no AUC" if auc is None else f"AUC {auc:.3f}"
    return run + (
        f", trained in {format_rough_duration(result.training_s)}" if result.training_s else ""
    )


def _summarize(
    settings: CompareSettings,
    dataset: Dataset,
    candidates: Sequence[Candidate],
    jobs: dict[CompareJob, Candidate],
) -> Comparison:
    from asd_offline.training.run_folder import library_versions

    models = []
    for candidate in candidates:
        runs = tuple(
            Run(job.seed, job.folder, read_run_result(job.result))
            for job, job_candidate in jobs.items()
            if job_candidate is candidate
        )
        models.append(ModelSummary(candidate, runs, _first_cost(runs)))
    return Comparison(
        dataset=settings.dataset,
        machines=dataset.machines(),
        seeds=settings.seeds,
        models=tuple(models),
        year=dataset.year,
        notes=dataset.notes,
        command=settings.command,
        versions=library_versions() | {"asd-monitor": __version__},
        data_digest=data_digest(dataset),
        is_synthetic=is_synthetic(dataset.root),
        each_machine=settings.each_machine,
    )


def _first_cost(runs: Sequence[Run]) -> ModelCost | None:
    """Return the cost of the first run that succeeded."""
    for run in runs:
        if run.result is not None and run.result.failure is None:
            return measure_cost(run.folder)
    return None
