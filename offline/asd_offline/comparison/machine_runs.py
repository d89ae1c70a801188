"""Runs of single machines, put together into the result of one run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asd_offline.comparison.run_result import RunResult, metrics_by_machine, missing_sections

if TYPE_CHECKING:
    from asd_offline.evaluation.section_scores import SectionScores
    from asd_offline.replay import ReplayResult


def merge_machines(
    runs: Sequence[tuple[RunResult, "ReplayResult"]], expected: Sequence[str]
) -> RunResult:
    """Return one result for machines that were trained and scored separately.

    Metrics over all machines are computed from the scores of all clips. Windows differ between
    machines; the longest one is reported.

    Parameters
    ----------
    runs
        Result of each machine.
    expected
        Sections that should have an AUC, such as ``fan/id_00``.
    """
    from asd_offline.evaluation.challenge_score import evaluate_scores

    results = [result for result, _ in runs]
    replays = [replayed for _, replayed in runs]
    sections = [section for replayed in replays for section in replayed.sections]
    scores: dict[str, dict[str, SectionScores]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for section in sections:
        if section.clips:
            scores.setdefault(section.plan.machine, {})[section.plan.section] = section.scores
        if section.reason is not None:
            reasons.setdefault(section.plan.machine, {})[section.plan.section] = section.reason
    rejected = [file for replayed in replays for file in replayed.challenge.rejected]
    challenge = evaluate_scores(
        replays[0].challenge.rules, scores, reasons=reasons, rejected=rejected
    )
    merged = replace(replays[0], challenge=challenge, sections=tuple(sections))
    windows = [(result.window_s or 0.0, result.hop_s or 0.0) for result in results]
    window_s, hop_s = max(windows)
    parities = [result.parity for result in results if result.parity is not None]
    return replace(
        results[0],
        metrics=metrics_by_machine(challenge),
        missing=missing_sections(challenge, expected),
        clips=sum(result.clips for result in results),
        ci95=challenge.ci95,
        parameters=sum(result.parameters for result in results),
        window_s=window_s or None,
        hop_s=hop_s or None,
        training_s=sum(result.training_s for result in results),
        parity=max(parities, default=None),
        sha256=None,
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        result=merged.to_dict(),
    )
