"""Replay a dataset through the windows, detector and alarm of the live monitor."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from asd_monitor.errors import DatasetError
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets import Dataset, Rejected, Subset, open_dataset
from asd_offline.jobs.pool import JobPool, cores, stoppable
from asd_offline.replay.collect import collect_results
from asd_offline.replay.outputs import write_outputs
from asd_offline.replay.plan import Plan, given_model, make_plan, restrict
from asd_offline.replay.results import ReplayResult
from asd_offline.replay.window_csv import WindowFile

Decide = Literal["model", "gamma"]
WORK = "work"
REPORT = "report.html"
PRELOADED_MODULES = ("torch", "asd_offline.replay.jobs")
"""What every job imports."""
LARGE_FIT_CLIPS = 200
"""Fitting more clips than this takes up to 0.5 GB, so one detector is fitted at a time."""


class ReportWriter(Protocol):
    """Write a report of a replay; :func:`asd_offline.report.write_report` is one."""

    def __call__(
        self, path: Path, plan: Plan, result: ReplayResult, pool: JobPool, progress: Progress
    ) -> None:
        """Write the report to ``path``; drawings may be jobs of ``pool``."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how."""

    dataset: Path
    year: int | None = None
    machines: tuple[str, ...] = ()
    """Empty: all."""
    subset: Subset = ""
    """``dev`` or ``eval``; empty: all that is there."""
    model: str = "quickstart"
    """A model file, or ``quickstart``: one detector for each section, from its training clips."""
    ground_truth: Path | None = None
    out: Path | None = None
    work: Path | None = None
    """Where, without ``out``, finished jobs are kept meanwhile; None: in the user's cache."""
    channel: int = 0
    device: str = "auto"
    decide: Decide = "model"
    """Threshold of the decisions: the model's own, or the gamma rule of the DCASE baselines."""
    strict: bool = False
    command: str = ""
    """Command line that asked for it, for the report."""
    jobs: int = field(default_factory=cores)


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
        If a setting makes no sense.
    """
    progress = progress or NoProgress()
    given = given_model(settings.model)
    dataset = _open(settings)
    if settings.strict:
        _refuse(dataset.rejected)
    folder = settings.out / WORK if settings.out else settings.work or _cache_folder()
    plan = make_plan(dataset, given, channel=settings.channel, device=settings.device, work=folder)
    with stoppable(), JobPool(settings.jobs, PRELOADED_MODULES) as pool, _kept_if_stopped():
        _do_jobs(plan, pool, progress)
        with WindowFile.open(settings.out) as windows:
            result = collect_results(plan, settings.decide, windows, settings.command)
            if settings.strict:
                _refuse(result.result.rejected)
        if settings.out:
            if write_report is not None:
                write_report(settings.out / REPORT, plan, result, pool, progress)
            write_outputs(settings.out, plan, result)
    _clean(plan, keep=settings.out is not None)
    return result


def _open(settings: ReplaySettings) -> Dataset:
    dataset = open_dataset(
        settings.dataset, settings.year, settings.ground_truth, settings.machines or None
    )
    if dataset.year is None and not dataset.select(split="test"):
        found = f"{len(dataset.clips)} normal recordings, all of them for training"
        msg = f"{dataset.root}: nothing in it is labelled for a test: found {found}; put recordings"
        msg = f"{msg} to be judged into test/normal/ and test/anomaly/ and those into train/, or"
        raise DatasetError(f"{msg} score single ones with `asd-monitor score`")
    return restrict(dataset, settings.subset) if settings.subset else dataset


def _do_jobs(plan: Plan, pool: JobPool, progress: Progress) -> None:
    fits = plan.fit_jobs()
    fit_work = sum(job.work for job in fits)
    large = any(len(job.clips) > LARGE_FIT_CLIPS for job in fits)
    fit_at_once = 1 if large else None
    pool.run(fits, lambda done: progress.update("fitting", done, fit_work), fit_at_once)
    scores = [
        job
        for section in plan.sections
        if plan.given or plan.model_path(section).exists()
        for job in plan.score_jobs(section)
    ]
    score_work = sum(job.work for job in scores)
    pool.run(scores, lambda done: progress.update("scoring", done, score_work))


def _refuse(rejected: tuple[Rejected, ...]) -> None:
    if rejected:
        first = "\n".join(f"  {each.path}: {each.reason}" for each in rejected[:10])
        more = f"\n  and {len(rejected) - 10} more" if len(rejected) > 10 else ""
        msg = f"--strict: {len(rejected)} files cannot be used:\n{first}{more}"
        raise DatasetError(msg)


def _cache_folder() -> Path:
    import os

    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "asd-monitor" / "replay"


@contextmanager
def _kept_if_stopped() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        raise


def _clean(plan: Plan, *, keep: bool) -> None:
    """Drop the work of this replay, or, where it is kept, that of earlier ones with other data."""
    if not keep:
        shutil.rmtree(plan.work, ignore_errors=True)
        return
    for folder in plan.work.parent.iterdir():
        if folder != plan.work and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
