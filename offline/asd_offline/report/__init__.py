"""The report of a replay: one HTML page that needs nothing from outside."""

import hashlib
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress
from asd_offline.jobs.pool import JobPool
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ReplayResult, SectionReplay
from asd_offline.report.clip_picture import PictureJob, read_picture
from asd_offline.report.clip_selection import chosen_clips
from asd_offline.report.page import page
from asd_offline.report.pictures import Shown


def write_report(
    path: Path,
    plan: Plan,
    result: ReplayResult,
    pool: JobPool,
    progress: Progress,
) -> None:
    """Write the report of a replay, with pictures of the clips that mattered most.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    shown = _draw(plan, result, pool, progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of files may hold bytes that are no UTF-8; the page shows a mark for each.
        path.write_bytes(page(result, plan, shown).encode("utf-8", "replace"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}") from error


def _draw(
    plan: Plan,
    result: ReplayResult,
    pool: JobPool,
    progress: Progress,
) -> dict[int, list[Shown]]:
    """Return what is shown of each section, by its number."""
    sections = [each for each in result.sections if each.clips]
    wanted = [
        (each.plan.number, kind, scored, _job(plan, each, scored.clip.path))
        for each in sections
        for kind, scored in chosen_clips(each, len(sections))
    ]
    pool.run(
        [job for _, _, _, job in wanted], lambda done: progress.update("drawing", done, len(wanted))
    )
    shown: dict[int, list[Shown]] = {}
    for number, kind, scored, job in wanted:
        picture = read_picture(job.result)
        if picture is not None:
            shown.setdefault(number, []).append((kind, scored, picture))
    return shown


def _job(plan: Plan, section: SectionReplay, clip: Path) -> PictureJob:
    name = hashlib.sha256(str(clip).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return PictureJob(
        clip=clip,
        target=section.plan.target,
        channel=plan.channel,
        device=plan.device,
        model=plan.model_path(section.plan),
        result=plan.work / f"picture-{section.plan.number:04d}-{name}.json",
    )
