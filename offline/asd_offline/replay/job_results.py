"""Read the results of jobs, one clip after the other."""

import json
from collections.abc import Iterator
from pathlib import Path

from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.errors import DatasetError
from asd_offline.replay.plan import Plan, SectionPlan
from asd_offline.replay.records import ClipResult, FitResult


def read_fit(path: Path) -> FitResult:
    """Read the result of a fit job.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    return FitResult.from_json(_read(path))


def read_rule(plan: Plan, section: SectionPlan) -> DecisionRule:
    """Read the decision rule of a section with test clips from its first job."""
    job = plan.score_jobs(section)[0]
    return DecisionRule.from_dict(json.loads(_read(job.result).splitlines()[0]))


def read_clips(plan: Plan, section: SectionPlan, rule: DecisionRule) -> Iterator[ClipResult]:
    """Read the clips of a section in their order.

    Raises
    ------
    DatasetError
        If a file cannot be read or has not one line per clip.
    """
    for job in plan.score_jobs(section):
        lines = _read(job.result).splitlines()[1:]
        if len(lines) != len(job.clips):
            msg = f"{job.result}: expected {len(job.clips)} clips, found {len(lines)}; delete it"
            raise DatasetError(msg)
        for clip, line in zip(job.clips, lines, strict=True):
            yield ClipResult.from_json(line, clip, rule)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: the result of a job cannot be read: {error}") from error
