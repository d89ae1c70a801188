"""Bring the results of all jobs together: figures of sections, decisions, and the year's table."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from asd_monitor.detection.alarm import AlarmSettings
from asd_monitor.model_file.manifest import Manifest
from asd_offline.datasets import Rejected
from asd_offline.datasets.audio_files import which_channel
from asd_offline.evaluation.challenge_score import evaluate_scores
from asd_offline.evaluation.metrics import gamma_threshold
from asd_offline.evaluation.results import ChallengeResult
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.replay.alarm_metrics import AlarmReplay
from asd_offline.replay.job_results import (
    read_fit,
    read_rows,
    read_rule,
    why_unscored,
)
from asd_offline.replay.plan import Plan, SectionPlan
from asd_offline.replay.results import (
    ClipResult,
    ReplayResult,
    SectionReplay,
    select_rules,
)
from asd_offline.replay.window_csv import WindowFile

DCASE_QUANTILE = 0.9

Value = TypeVar("Value")


def collect_results(plan: Plan, rule: str, windows: WindowFile, command: str = "") -> ReplayResult:
    """Read the results of all jobs, one section at a time, and evaluate them.

    Parameters
    ----------
    plan
        What was done.
    rule
        ``model`` or ``gamma``: which threshold decides.
    windows
        Where the windows' scores go as they are read.
    command
        Command line that asked for it.
    """
    settings = AlarmSettings()
    sections = tuple(_section(plan, each, rule, settings, windows) for each in plan.sections)
    channels = [count for each in sections for count in each.channels]
    year = plan.dataset.year
    result = evaluate_scores(
        select_rules(plan.dataset.clips, year),
        _by_name(sections, _scores),
        reasons=_by_name(sections, lambda each: each.reason),
        rejected=(*plan.dataset.rejected, *(r for each in sections for r in each.rejected)),
    )
    return ReplayResult(
        year=year,
        result=_without_incomplete_score(result, sections, year),
        sections=sections,
        notes=(*plan.dataset.notes, *which_channel(channels, plan.channel, "test clips")),
        model=_model(plan, sections),
        alarm=settings,
        command=command,
    )


def _by_name(
    sections: Sequence[SectionReplay], value: Callable[[SectionReplay], Value | None]
) -> dict[str, dict[str, Value]]:
    """Machine -> section -> what each section has, without those that have nothing."""
    found: dict[str, dict[str, Value]] = {}
    for each in sections:
        given = value(each)
        if given is not None:
            found.setdefault(each.plan.machine, {})[each.plan.section] = given
    return found


def _without_incomplete_score(
    result: ChallengeResult, sections: Sequence[SectionReplay], year: int | None
) -> ChallengeResult:
    """Allow no official score where test clips are missing, or outside the challenge."""
    if year is None:
        return replace(result, set_name=None, missing=())
    tests = [len(each.plan.test) - len(each.clips) for each in sections]
    lacking = tuple(
        f"{each.plan.name} ({count} test clips not scored)"
        for each, count in zip(sections, tests, strict=True)
        if count and each.clips
    )
    return replace(result, missing=(*result.missing, *lacking))


def _model(plan: Plan, sections: Sequence[SectionReplay]) -> dict[str, Any]:
    if plan.given:
        manifest = plan.given.manifest
        return {
            "name": manifest.name,
            "revision": manifest.revision,
            "file": str(plan.given.path),
            "sha256": plan.given.sha256,
        }
    fitted = sum(each.sha256 is not None for each in sections)
    return {"name": "quickstart", "revision": None, "file": None, "fitted": fitted}


def _section(
    plan: Plan, section: SectionPlan, rule: str, settings: AlarmSettings, windows: WindowFile
) -> SectionReplay:
    from asd_monitor.model_file import read_manifest

    if section.reason is not None:
        return SectionReplay(section, reason=section.reason)
    rejected: list[Rejected] = []
    if not plan.given:
        fit = read_fit(plan.work / f"fit-{section.number:04d}.json")
        rejected += fit.rejected
        if fit.sha256 is None:
            return SectionReplay(section, rejected=tuple(rejected), reason=fit.reason)
    manifest, sha256 = read_manifest(plan.model_path(section))
    decision_rule = read_rule(plan, section)
    assert decision_rule is not None  # noqa: S101 - a section without a reason has test clips
    threshold, why = decision_threshold(rule, decision_rule.threshold, manifest, section.target)
    alarm = None if decision_rule.threshold is None else AlarmReplay(decision_rule, settings)
    clips: list[ClipResult] = []
    channels: list[int] = []
    for row in read_rows(plan, section):
        windows.write(row, decision_rule)
        reason = why_unscored(row)
        if reason is not None or row.value is None:
            rejected.append(Rejected(row.clip.path, reason or ""))
            continue
        channels.append(row.channels)
        clips.append(ClipResult(row.clip, row.value, row.p_value))
        if alarm is not None:
            alarm.update(row)
    return SectionReplay(
        section,
        tuple(clips),
        tuple(rejected),
        None if clips else "none of its test clips could be scored",
        tuple(channels),
        threshold,
        why,
        alarm.metrics() if alarm else None,
        manifest,
        sha256,
    )


def decision_threshold(
    rule: str, threshold: float | None, manifest: Manifest, target: str
) -> tuple[float | None, str | None]:
    """Return the score above which a clip is decided anomalous, and how it was got.

    ``model``: the threshold that a window must exceed to count towards an alarm. ``gamma``: the
    rule of the challenge's baselines, the 90th percentile of a gamma law, here fitted to the
    held-out scores of normal windows in the model file; the scores of clips that a memory bank
    holds would be too low.
    """
    calibration = manifest.calibrations.get(target)
    if rule == "gamma":
        if calibration is None:
            return None, "the model file has no held-out scores for a gamma law"
        import numpy as np

        ranks = np.linspace(0, calibration.count - 1, min(calibration.count, 2000))
        scores = np.interp(ranks, calibration.ranks, calibration.scores)
        if scores[0] == scores[-1]:
            return None, "the held-out scores are all equal, so no gamma law fits them"
        text = f"90th percentile of a gamma law of {calibration.count} held-out normal windows"
        return gamma_threshold(scores, DCASE_QUANTILE), text
    stored = manifest.thresholds.get(target)
    if stored is not None:
        return threshold, f"p = {stored.p:g} for a window of normal sound: {stored.rule}"
    if calibration is not None:
        return threshold, f"p = 0.001 for a window of normal sound: {calibration.rule}"
    return threshold, None


def _scores(section: SectionReplay) -> SectionScores | None:
    if not section.clips:
        return None
    return SectionScores.from_columns(
        score=[clip.value for clip in section.clips],
        label=[clip.clip.label for clip in section.clips],
        domain=[clip.clip.domain for clip in section.clips],
        decision=[section.decision(clip) for clip in section.clips],
    )
