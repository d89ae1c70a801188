"""Compute the pictures of a report and write its page."""

import hashlib
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress
from asd_offline.jobs.pool import Pool
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ReplayResult, SectionReplay
from asd_offline.report.clip_picture import PictureJob, read_picture
from asd_offline.report.clip_selection import select_clips
from asd_offline.report.page import render_page
from asd_offline.report.pictures import KeyClip


def write_report(
    path: Path, plan: Plan, result: ReplayResult, pool: Pool, progress: Progress
) -> None:
    """Write the report of a replay.

    Parameters
    ----------
    path
        HTML file to write.
    plan, result
        What was replayed, and the result.
    pool
        Computes the pictures of key clips.
    progress
        Receives the stage ``drawing``.

    Raises
    ------
    DatasetError
        If the file cannot be written.
    """
    clips = _key_clips(plan, result, pool, progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # File names may hold bytes that are not UTF-8; the page shows a mark for each.
        path.write_bytes(render_page(result, plan, clips).encode("utf-8", "replace"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}") from error


def _key_clips(
    plan: Plan, result: ReplayResult, pool: Pool, progress: Progress
) -> dict[int, list[KeyClip]]:
    """Return the key clips of each section, by the section's number."""
    sections = [section for section in result.sections if section.clips]
    selected = [
        (section.plan.number, description, clip, _picture_job(plan, section, clip.clip.path))
        for section in sections
        for description, clip in select_clips(section, len(sections))
    ]
    jobs = [job for _, _, _, job in selected]
    pool.run(jobs, lambda done: progress.update("drawing", done, len(jobs)))
    clips: dict[int, list[KeyClip]] = {}
    for number, description, clip, job in selected:
        picture = read_picture(job.result)
        if picture is not None:
            clips.setdefault(number, []).append(KeyClip(description, clip, picture))
    return clips


def _picture_job(plan: Plan, section: SectionReplay, clip: Path) -> PictureJob:
    digest = hashlib.sha256(str(clip).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return PictureJob(
        clip=clip,
        target=section.plan.target,
        channel=plan.channel,
        device=plan.device,
        model=plan.model_path(section.plan),
        result=plan.work / f"key-clip-{section.plan.number:04d}-{digest}.json",
        trusted_keys=plan.trusted_keys,
    )
