"""Results of jobs, read back one clip after the other."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.errors import DatasetError
from asd_offline.datasets import Clip, Rejected
from asd_offline.replay.plan import Plan, SectionPlan


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One window of a clip, as the detector scored it."""

    start: int
    """Index of its first sample in the clip."""
    value: float | None
    p_value: float | None
    extrapolated: bool
    quality: str
    level_dbfs: float | None


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One clip as the detector scored it, or the reason why it could not."""

    clip: Clip
    samples: int = 0
    value: float | None = None
    p_value: float | None = None
    extrapolated: bool = False
    windows: tuple[WindowRow, ...] = ()
    rejected: str | None = None
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Fit:
    """What fitting a section's detector gave."""

    sha256: str | None
    reason: str | None
    rejected: tuple[Rejected, ...]


def read_fit(path: Path) -> Fit:
    """Read the result of a fit job."""
    found = json.loads(_text(path))
    rejected = tuple(Rejected(Path(each), reason) for each, reason in found["rejected"])
    return Fit(found["sha256"], found["reason"], rejected)


def read_rule(plan: Plan, section: SectionPlan) -> DecisionRule | None:
    """Read the decision rule of a section; None if no clips were scored."""
    for job in plan.score_jobs(section):
        with job.result.open(encoding="utf-8") as lines:
            return DecisionRule.from_dict(json.loads(next(lines)))
    return None


def read_rows(plan: Plan, section: SectionPlan) -> Iterator[ClipRow]:
    """Read the clips of a section in their order, block by block."""
    clips = iter(section.test)
    for job in plan.score_jobs(section):
        lines = _text(job.result).splitlines()[1:]
        if len(lines) != len(job.clips):
            msg = f"{job.result}: expected {len(job.clips)} clips, found {len(lines)}; delete it"
            raise DatasetError(msg)
        for line in lines:
            yield _row(next(clips), json.loads(line))


def unread(rows: Sequence[ClipRow]) -> tuple[Rejected, ...]:
    """Return the clips without a score, with reasons."""
    return tuple(Rejected(row.clip.path, reason) for row in rows if (reason := why_unscored(row)))


def why_unscored(row: ClipRow) -> str | None:
    """Return why a clip has no score; None if it has one."""
    if row.rejected is not None:
        return row.rejected
    if row.value is None:
        kinds = ", ".join(sorted({window.quality for window in row.windows}))
        return f"{row.clip.path}: no window of it could be scored: {kinds}"
    return None


def _row(clip: Clip, found: dict[str, Any]) -> ClipRow:
    if "rejected" in found:
        return ClipRow(clip, rejected=found["rejected"])
    windows = tuple(WindowRow(*each) for each in found.pop("windows"))
    return ClipRow(clip, windows=windows, **found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: the result of a job cannot be read: {error}") from error
