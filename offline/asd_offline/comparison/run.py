"""Compare models on one dataset: the same rule for all, and no run done twice."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import DatasetError
from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import Progress
from asd_monitor.terminal.durations import format_rough_duration
from asd_offline.comparison.candidates import Candidate, choose_candidates
from asd_offline.comparison.folder_lock import locked_folder
from asd_offline.comparison.job import CompareJob, JobSettings
from asd_offline.comparison.run_result import FORMAT, OVERALL, RunResult, read_run_result
from asd_offline.comparison.summary import Comparison, ModelSummary, Run
from asd_offline.comparison.timing import ModelCost, measure_cost
from asd_offline.comparison.writers import write_files
from asd_offline.datasets import Dataset, open_dataset
from asd_offline.datasets.clip import ANOMALY, NORMAL
from asd_offline.datasets.year_record import is_synthetic
from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import sigterm_as_interrupt
from asd_offline.jobs.shards import Shard
from asd_offline.replay.plan import file_version
from asd_offline.replay.run import PRELOADED_MODULES
from asd_offline.training.distributed import check_device

RUNS = "runs"
JOB_BYTES = 2**32
"""Memory of a run; small recipes took up to 2.2 GB, published ones may take more."""


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """What is compared, and how."""

    dataset: Path
    out: Path
    cache: Path
    models: tuple[str, ...] = ()
    """Names, or ``all``; empty: the default models, unless there are ``configs``."""
    configs: tuple[Path, ...] = ()
    """Recipes that are compared as well, each under the name of its file."""
    seeds: int = 4
    machines: tuple[str, ...] = ()
    """Empty: all."""
    year: int | None = None
    ground_truth: Path | None = None
    recipes: Path | None = None
    epochs: int | None = None
    device: str = "auto"
    jobs: int | None = None
    """Number of simultaneous runs; None: one per core as far as memory allows, one on a GPU."""
    command: str = ""
    cluster: str = ""
    """Address of a Ray cluster that does the runs; empty: processes of this computer."""
    each_machine: bool = False
    """Whether each machine is trained and scored separately, with a window as long as its clips."""


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
    dataset, candidates, jobs = _plan(settings, progress)
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
    _, _, planned = _plan(settings, progress)
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


def _plan(
    settings: CompareSettings, progress: Progress
) -> tuple[Dataset, Sequence[Candidate], dict[CompareJob, Candidate]]:
    """Open the dataset and return it with the models and their runs."""
    if not settings.cluster:  # the computers of a cluster may have what this one lacks
        check_device(settings.device)
    dataset = open_dataset(
        settings.dataset, settings.year, settings.ground_truth, settings.machines or None
    )
    sections = _labelled_sections(dataset)
    candidates = choose_candidates(
        settings.models,
        dataset,
        configs=settings.configs,
        recipes=settings.recipes,
        epochs=settings.epochs,
        seeds=settings.seeds,
    )
    for text in (*dataset.notes, *(candidate.describe() for candidate in candidates)):
        progress.message(text)
    return dataset, candidates, _plan_jobs(settings, dataset, sections, candidates)


def _labelled_sections(dataset: Dataset) -> tuple[str, ...]:
    """Return the sections that can have an AUC; raise DatasetError if there are none."""
    if not dataset.select(split="train"):
        msg = f"{dataset.root}: expected normal training clips, found none"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    labels: dict[str, set[int | None]] = {}
    for clip in dataset.select(split="test"):
        labels.setdefault(f"{clip.machine}/{clip.section}", set()).add(clip.label)
    sections = tuple(name for name, values in labels.items() if {NORMAL, ANOMALY} <= values)
    if sections:
        return sections
    all_labels = {label for values in labels.values() for label in values}
    if not all_labels:
        found_text = "no test clips"
    elif all_labels == {None}:
        found_text = "test clips without labels"
    else:
        found_text = "no section with both kinds"
    msg = f"{dataset.root}: expected labelled test clips, normal and anomalous; found {found_text}"
    raise DatasetError(f"{msg}. For an evaluation set give --ground-truth; see docs/datasets.md")


def _plan_jobs(
    settings: CompareSettings,
    dataset: Dataset,
    sections: tuple[str, ...],
    candidates: Sequence[Candidate],
) -> dict[CompareJob, Candidate]:
    """Return all runs: every model with the first seed, then with the next, and so on."""
    shared = JobSettings(
        settings.dataset,
        settings.year,
        settings.machines,
        settings.ground_truth,
        sections,
        settings.cache,
        resolve_device(settings.device, settings.cluster),
        dataset.machines() if settings.each_machine else (),
    )
    digest = _dataset_digest(dataset)
    jobs = {}
    for seed in range(settings.seeds):
        for candidate in candidates:
            if candidate.exclusion is not None or seed not in candidate.seeds:
                continue
            key = _run_key(candidate, seed, digest, settings)
            job = CompareJob(
                candidate.name,
                candidate.model,
                seed,
                candidate.recipe.model_dump_json() if candidate.recipe else None,
                candidate.network_count,
                shared,
                settings.out / RUNS / f"{candidate.name}-seed{seed}-{key}",
                report=seed == 0,
            )
            jobs[job] = candidate
    return jobs


def _run_key(candidate: Candidate, seed: int, digest: str, settings: CompareSettings) -> str:
    """Return a digest of everything that determines the result of a run."""
    from asd_offline.training.run_folder import library_versions

    recipe = candidate.recipe.model_dump(mode="json") if candidate.recipe else None
    facts = [FORMAT, library_versions(), candidate.model, recipe, seed, digest, settings.device]
    if settings.each_machine:
        facts.append("each machine")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def _dataset_digest(dataset: Dataset) -> str:
    """Return a digest of all clips with sizes and modification times, wherever they are stored."""
    digest = hashlib.sha256()
    for clip in dataset.clips:
        identity = (clip.machine, clip.section, clip.split, clip.name, clip.label, clip.domain)
        entry = [*identity, clip.attributes, *file_version(clip.path)]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def data_digest(dataset: Dataset) -> str:
    """Return a digest of names, labels and sizes of all clips, wherever and whenever copied."""
    entries = sorted(
        (clip.machine, clip.section, clip.split, clip.name, str(clip.label), clip.domain,
         clip.path.stat().st_size)
        for clip in dataset.clips
    )  # fmt: skip
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


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
