"""Confidence intervals of a challenge's official score, from the clips of its sections."""

from collections.abc import Sequence

import numpy as np

from asd_offline.evaluation.jackknife import (
    Leverage,
    jackknife_half_width,
    leave_one_out,
    official_ci95,
)
from asd_offline.evaluation.metrics import EPSILON, Floats
from asd_offline.evaluation.results import MachineResult, SectionResult
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.evaluation.section_metrics import domain_mask
from asd_offline.evaluation.section_scores import SectionScores


def pooled_official_ci95(rules: ScoringRules, sections: Sequence[SectionScores]) -> float | None:
    """Compute `official_ci95` of the usable clips of all sections, pooled."""
    label = np.concatenate([clips.label for clips in sections] or [np.zeros(0, np.int64)])
    score = np.concatenate([clips.score for clips in sections] or [np.zeros(0)])
    usable = (label >= 0) & np.isfinite(score)
    if min(np.sum(label[usable] == 0), np.sum(label[usable] == 1)) < 2:
        return None
    return official_ci95(label[usable], score[usable], rules.max_fpr)


def score_ci95(
    rules: ScoringRules,
    machines: Sequence[MachineResult],
    sections: Sequence[tuple[SectionResult, SectionScores]],
) -> float | None:
    """Compute the half width of the score's interval over all sections that have metrics.

    None if a section has some of its metrics only, or a stratum has a single clip.
    """
    scored = [pair for pair in sections if _is_scored(rules, pair[0])]
    if any(None in section.score_parts(rules) for section, _ in scored):
        return None
    parts = [[x for x in section.score_parts(rules) if x is not None] for section, _ in scored]
    weights = [weight for machine in machines for weight in _section_weights(rules, machine)]
    machine_count = sum(machine.score is not None for machine in machines)
    reciprocal_sum = np.sum([1 / max(x, EPSILON) for row in parts for x in row])
    count = sum(len(row) for row in parts)
    leverages = []
    for row, weight, (_, clips) in zip(parts, weights, scored, strict=True):
        without = _parts_without_each_clip(rules, clips, row)
        if rules.means_by_machine:
            scores = (without.mean(axis=1) - np.mean(row)) * weight / machine_count
        else:
            reciprocals = np.sum(1 / np.maximum(without, EPSILON), axis=1)
            of_section = sum(1 / max(x, EPSILON) for x in row)
            scores = count / (reciprocal_sum - of_section + reciprocals)
        strata = clips.label + 2 * (clips.domain == "target")
        leverages.append(Leverage(scores, strata))
    return jackknife_half_width(leverages)


def _is_scored(rules: ScoringRules, section: SectionResult) -> bool:
    return any(part is not None for part in section.score_parts(rules))


def _section_weights(rules: ScoringRules, machine: MachineResult) -> list[float]:
    """Return the weight within its machine of each section that has metrics."""
    count = sum(_is_scored(rules, section) for section in machine.sections)
    return [1 / count for _ in range(count)]


def _parts_without_each_clip(
    rules: ScoringRules, clips: SectionScores, parts: Sequence[float]
) -> Floats:
    """Compute the score's metrics without each clip, shape ``(clips, metrics)``."""
    table = np.tile(np.asarray(parts, dtype=np.float64), (len(clips.label), 1))
    for column, name in enumerate(rules.score_parts):
        metric, _, domain = name.partition("_")
        mask = np.ones(len(clips.label), dtype=np.bool_)
        if domain:
            mask = domain_mask(rules, clips, domain)
        max_fpr = rules.max_fpr if metric == "pauc" else 1.0
        table[mask, column] = leave_one_out(clips.label[mask], clips.score[mask], max_fpr)
    return table
