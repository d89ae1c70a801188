"""Confidence intervals of a year's official score, from the clips of its sections."""

from collections.abc import Sequence

import numpy as np

from asd_offline.evaluation.jackknife import (
    Leverage,
    jackknife_half_width,
    leave_one_out,
    official_ci95,
)
from asd_offline.evaluation.metrics import EPSILON, MAX_FPR, Floats
from asd_offline.evaluation.results import MachineResult, SectionResult
from asd_offline.evaluation.section_metrics import DOMAINS, SectionClips, score_parts


def pooled_official_ci95(sections: Sequence[SectionClips]) -> float | None:
    """`official_ci95` of the usable clips of all sections, pooled."""
    label = np.concatenate([clips.label for clips in sections] or [np.zeros(0, np.int64)])
    score = np.concatenate([clips.score for clips in sections] or [np.zeros(0)])
    usable = (label >= 0) & np.isfinite(score)
    if min(np.sum(label[usable] == 0), np.sum(label[usable] == 1)) < 2:
        return None
    return official_ci95(label[usable], score[usable])


def score_ci95(
    year: int, machines: Sequence[MachineResult], columns: list[tuple[SectionResult, SectionClips]]
) -> float | None:
    """Half width of the interval of the score over all sections that have figures.

    None if a section has some of its figures only, or a stratum has a single clip.
    """
    scored = [pair for pair in columns if any(x is not None for x in score_parts(year, pair[0]))]
    if any(None in score_parts(year, section) for section, _ in scored):
        return None
    parts = [[x for x in score_parts(year, section) if x is not None] for section, _ in scored]
    shares = [share for machine in machines for share in _shares(year, machine)]
    machine_count = sum(machine.score is not None for machine in machines)
    invert = np.sum([1 / max(x, EPSILON) for row in parts for x in row])
    count = sum(len(row) for row in parts)
    found = []
    for row, share, (_, clips) in zip(parts, shares, scored, strict=True):
        without = _parts_without(year, clips, row)
        if year == 2020:
            scores = (without.mean(axis=1) - np.mean(row)) * share / machine_count
        else:
            reciprocals = np.sum(1 / np.maximum(without, EPSILON), axis=1)
            scores = count / (invert - sum(1 / max(x, EPSILON) for x in row) + reciprocals)
        strata = clips.label + 2 * (clips.domain == "target")
        found.append(Leverage(scores, strata))
    return jackknife_half_width(found)


def _shares(year: int, machine: MachineResult) -> list[float]:
    """Weight within its machine of each section that has figures (2020)."""
    scored = [s for s in machine.sections if any(x is not None for x in score_parts(year, s))]
    return [1 / len(scored) for _ in scored]


def _parts_without(year: int, clips: SectionClips, parts: Sequence[float]) -> Floats:
    """Metrics that enter the official score, shape (clips, figures), each without one clip."""
    everyone = np.ones(len(clips.label), dtype=np.bool_)
    if year == 2020:
        masks = [(everyone, 1.0), (everyone, MAX_FPR)]
    elif year == 2021:
        masks = [(clips.domain == domain, p) for domain in DOMAINS for p in (1.0, MAX_FPR)]
    else:
        masks = [((clips.domain == domain) | (clips.label == 1), 1.0) for domain in DOMAINS]
        masks.append((everyone, MAX_FPR))
    table = np.tile(np.asarray(parts, dtype=np.float64), (len(clips.label), 1))
    for column, (mask, max_fpr) in enumerate(masks):
        table[mask, column] = leave_one_out(clips.label[mask], clips.score[mask], max_fpr)
    return table
