"""Replay a dataset through the windows, detector and alarm of the live monitor."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from asd_monitor.errors import DatasetError
from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets import Dataset, Rejected, Subset, open_dataset
from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import JobPool, Pool, sigterm_as_interrupt
from asd_offline.replay.collect import collect_results
from asd_offline.replay.decisions import ThresholdSource
from asd_offline.replay.jobs import FitJob, ScoreJob
from asd_offline.replay.outputs import write_outputs
from asd_offline.replay.plan import (
    QUICKSTART,
    Plan,
    make_plan,
    read_given_model,
    restrict_to_subset,
)
from asd_offline.replay.results import ReplayResult
from asd_offline.replay.window_csv import WindowFile
from asd_offline.replay.work_folder import choose_work_folder, clean_up

REPORT = "report.html"
PRELOADED_MODULES = ("torch", "asd_offline.replay.jobs")
"""What every job imports."""
LARGE_FIT_CLIPS = 200
"""Fitting to more clips than this takes up to 0.5 GB, so only one detector is fitted at a time."""
MAX_LISTED = 10


class ReportWriter(Protocol):
    """Write a report of a replay; :func:`asd_offline.report.write_report` is one."""

    def __call__(
        self, path: Path, plan: Plan, result: ReplayResult, pool: Pool, progress: Progress
    ) -> None:
        """Write the report to ``path``; drawings may be jobs of ``pool``."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how."""

    dataset: Path
    year: int | None = None
    """Year of the layout; None: detected."""
    machines: tuple[str, ...] = ()
    """Empty: all."""
    subset: Subset = ""
    """``dev`` or ``eval``; empty: both."""
    model: str = QUICKSTART
    """A model file, or ``quickstart``: one detector for each section, from its training clips."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys of makers whose model files may run; empty: all may."""
    ground_truth: Path | None = None
    out: Path | None = None
    work: Path | None = None
    """Folder of the jobs' results if there is no ``out``; None: in the user's cache."""
    channel: int = 0
    device: str = "auto"
    decide: ThresholdSource = "model"
    strict: bool = False
    """Raise an error if a file cannot be used."""
    command: str = ""
    """Command line of the replay, for the report."""
    jobs: int = field(default_factory=available_cores)
    """Number of processes."""
    cluster: str = ""
    """Address of a Ray cluster that runs the jobs; empty: processes of this computer."""


def replay(
    settings: ReplaySettings,
    progress: Progress | None = None,
    write_report: ReportWriter | None = None,
) -> ReplayResult:
    """Replay a dataset, and write the results to ``settings.out`` if that is set.

    Results of finished jobs are kept until the replay is complete, in ``out/work`` or else in the
    user's cache folder, so that the same call resumes a replay that was stopped.

    Parameters
    ----------
    settings
        What is replayed, and how.
    progress
        Receives the stages ``fitting``, ``scoring`` and ``drawing``.
    write_report
        Writes ``report.html`` into ``settings.out``; None: no report.

    Raises
    ------
    DatasetError
        If the dataset cannot be opened, nothing can be written, or ``strict`` is set and a file
        is rejected.
    ModelFileError
        If the model file cannot be used.
    ConfigError
        If a setting is invalid.
    """
    progress = progress or NoProgress()
    plan = plan_replay(settings)
    with sigterm_as_interrupt(), _open_pool(settings, plan, progress) as pool:
        run_fits(plan.fit_jobs(), pool, progress)
        with scoring_pool(pool, settings, plan) as scoring:
            run_scores(all_score_jobs(plan), scoring, progress)
        with WindowFile.open(settings.out) as windows:
            result = collect_results(plan, settings.decide, windows, settings.command)
            if settings.strict:
                _raise_if_rejected(result.challenge.rejected)
        if settings.out:
            if write_report is not None:
                write_report(settings.out / REPORT, plan, result, pool, progress)
            write_outputs(settings.out, plan, result)
    clean_up(plan.work, keep=settings.out is not None)
    return result


def plan_replay(settings: ReplaySettings) -> Plan:
    """Open the dataset and plan the replay; see :func:`replay` for the errors."""
    model = read_given_model(settings.model, settings.trusted_keys)
    dataset = _open(settings)
    if settings.strict:
        _raise_if_rejected(dataset.rejected)
    work = settings.work if settings.work and not settings.out else choose_work_folder(settings.out)
    device = resolve_device(settings.device, settings.cluster)
    return make_plan(dataset, model, channel=settings.channel, device=device, work=work)


def _open(settings: ReplaySettings) -> Dataset:
    dataset = open_dataset(
        settings.dataset, settings.year, settings.ground_truth, settings.machines or None
    )
    if dataset.year is None and not dataset.select(split="test"):
        msg = (
            f"{dataset.root}: expected labelled test recordings, found {len(dataset.clips)} normal "
            "ones, all for training; put test recordings into test/normal/ and test/anomaly/ and "
            "those for training into train/, or score single files with `asd-monitor score`"
        )
        if any(dataset.root.glob("streams/*.csv")) or any(dataset.root.glob("*/streams/*.csv")):
            msg += "; to play the streams in it, add --timeline"
        raise DatasetError(msg)
    return restrict_to_subset(dataset, settings.subset) if settings.subset else dataset


def _open_pool(settings: ReplaySettings, plan: Plan, progress: Progress) -> Pool:
    return open_pool(
        settings.jobs,
        PRELOADED_MODULES,
        cluster=settings.cluster,
        shared=plan.work,
        device=plan.device,
        notify=progress.message,
    )


@contextmanager
def scoring_pool(pool: Pool, settings: ReplaySettings, plan: Plan) -> Iterator[Pool]:
    """Yield the pool for scores: the given one, or one of fewer processes that share a GPU."""
    workers = limit_workers(settings.jobs, plan.device)
    if settings.cluster or workers == settings.jobs:
        yield pool
        return
    with JobPool(workers, PRELOADED_MODULES) as few:
        yield few


def run_fits(fits: Sequence[FitJob], pool: Pool, progress: Progress) -> None:
    """Fit detectors, only one at a time if that takes much memory."""
    work = sum(job.work for job in fits)
    is_large = any(len(job.clips) > LARGE_FIT_CLIPS for job in fits)
    pool.run(
        fits,
        lambda done: progress.update("fitting", done, work),
        at_once=1 if is_large else None,
    )


def run_scores(scores: Sequence[ScoreJob], pool: Pool, progress: Progress) -> None:
    """Score blocks of clips."""
    work = sum(job.work for job in scores)
    pool.run(scores, lambda done: progress.update("scoring", done, work))


def all_score_jobs(plan: Plan) -> list[ScoreJob]:
    """Return the jobs of all sections that have a model, once the fits are done."""
    return [
        job
        for section in plan.sections
        if plan.model or plan.model_path(section).exists()
        for job in plan.score_jobs(section)
    ]


def _raise_if_rejected(rejected: tuple[Rejected, ...]) -> None:
    if rejected:
        listed = "\n".join(f"  {file.path}: {file.reason}" for file in rejected[:MAX_LISTED])
        more = len(rejected) - MAX_LISTED
        rest = f"\n  and {more} more" if more > 0 else ""
        raise DatasetError(f"--strict: {len(rejected)} files cannot be used:\n{listed}{rest}")
