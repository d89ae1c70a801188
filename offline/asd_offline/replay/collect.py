"""Combine the results of all jobs: metrics, decisions and the challenge's result."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from asd_monitor.audio.sample_rates import describe_differences, learned_rates_hz
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.verdict import explain_rules, judge_clip
from asd_monitor.model_file import read_manifest
from asd_offline.datasets import Rejected
from asd_offline.datasets.audio_files import describe_unused_channels
from asd_offline.evaluation.challenge_score import evaluate_scores
from asd_offline.evaluation.results import ChallengeResult
from asd_offline.evaluation.rules import applicable_rules
from asd_offline.replay.alarm_metrics import AlarmReplay
from asd_offline.replay.decisions import ThresholdSource, decide_by_each_rule
from asd_offline.replay.job_results import read_clips, read_fit, read_rule
from asd_offline.replay.plan import Plan, SectionPlan
from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import ReplayResult, SectionReplay
from asd_offline.replay.window_csv import WindowFile

Value = TypeVar("Value")


def collect_results(
    plan: Plan, source: ThresholdSource, windows: WindowFile, command: str = ""
) -> ReplayResult:
    """Read and evaluate the results of all jobs, one section at a time.

    Parameters
    ----------
    plan
        Plan whose jobs are finished.
    source
        Where the threshold of the decisions comes from.
    windows
        Receives the windows' scores as they are read.
    command
        Command line of the replay.
    """
    settings = AlarmSettings()
    sections = [
        _collect_section(plan, section, source, settings, windows) for section in plan.sections
    ]
    dataset = plan.dataset
    challenge = evaluate_scores(
        applicable_rules(dataset.year, has_domains=any(clip.domain for clip in dataset.clips)),
        _by_name(sections, lambda section: section.scores if section.clips else None),
        reasons=_by_name(sections, lambda section: section.reason),
        rejected=[*dataset.rejected, *(file for s in sections for file in s.rejected)],
    )
    channels = [result.channels for section in sections for result in section.clips]
    return ReplayResult(
        year=dataset.year,
        challenge=_without_incomplete_score(challenge, sections, dataset.year),
        sections=tuple(sections),
        notes=(
            *dataset.notes,
            *describe_unused_channels(channels, plan.used_channels, "test clips"),
            *_describe_rates(sections),
        ),
        model=_describe_model(plan, sections),
        alarm=settings,
        command=command,
    )


def _describe_rates(sections: Sequence[SectionReplay]) -> list[str]:
    """Return notes on test clips whose sample rates differ from those of the learned clips."""
    rates_of: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for section in sections:
        if section.manifest is not None:
            learned_hz = tuple(learned_rates_hz(section.manifest.training))
            rates_hz = rates_of.setdefault((learned_hz, section.manifest.sample_rate_hz), [])
            rates_hz += [clip.rate_hz for clip in section.clips]
    return [
        note
        for (learned_hz, model_rate_hz), rates_hz in rates_of.items()
        for note in describe_differences(rates_hz, learned_hz, model_rate_hz, "test clips")
    ]


def _by_name(
    sections: Sequence[SectionReplay], get: Callable[[SectionReplay], Value | None]
) -> dict[str, dict[str, Value]]:
    """Return machine -> section -> value, without the sections whose value is None."""
    values: dict[str, dict[str, Value]] = {}
    for section in sections:
        value = get(section)
        if value is not None:
            values.setdefault(section.plan.machine, {})[section.plan.section] = value
    return values


def _without_incomplete_score(
    challenge: ChallengeResult, sections: Sequence[SectionReplay], year: int | None
) -> ChallengeResult:
    """Allow no official score where test clips are missing, or outside the challenge."""
    if year is None:
        return replace(challenge, set_name=None, missing=())
    missing = [
        f"{section.plan.name} ({count} test clips not scored)"
        for section in sections
        if section.clips and (count := len(section.plan.test) - len(section.clips))
    ]
    return replace(challenge, missing=(*challenge.missing, *missing))


def _describe_model(plan: Plan, sections: Sequence[SectionReplay]) -> dict[str, Any]:
    if plan.model is not None:
        manifest = plan.model.manifest
        return {
            "name": manifest.name,
            "revision": manifest.revision,
            "file": str(plan.model.path),
            "sha256": plan.model.sha256,
        }
    fitted = sum(section.manifest is not None for section in sections)
    return {"name": "quickstart", "revision": None, "file": None, "fitted": fitted}


def _collect_section(
    plan: Plan,
    section: SectionPlan,
    source: ThresholdSource,
    settings: AlarmSettings,
    windows: WindowFile,
) -> SectionReplay:
    if section.reason is not None:
        return SectionReplay(section, reason=section.reason)
    rejected: list[Rejected] = []
    if plan.model is None:
        fit = read_fit(plan.fit_result(section))
        rejected += fit.rejected
        if fit.sha256 is None:
            return SectionReplay(section, rejected=tuple(rejected), reason=fit.reason)
    manifest, _ = read_manifest(plan.model_path(section))
    rule = read_rule(plan, section)
    alarm = None if rule.threshold is None else AlarmReplay(rule, settings)
    clips: list[ClipResult] = []
    for result in read_clips(plan, section, rule):
        windows.write(result, rule.sample_rate_hz)
        if result.reason is not None:
            rejected.append(Rejected(result.clip.path, result.reason))
            continue
        verdict = judge_clip(result.value, result.windows, rule, settings)
        clips.append(replace(result, windows=(), verdict=verdict))
        if alarm is not None:
            alarm.update(result)
    decisions = decide_by_each_rule(clips, manifest, section.target, rule.threshold)
    return SectionReplay(
        section,
        tuple(clips),
        tuple(rejected),
        None if clips else "none of its test clips could be scored",
        decisions[source].threshold,
        decisions[source].rule,
        source,
        explain_rules(rule, settings),
        alarm.metrics() if alarm else None,
        manifest,
        decisions,
    )
