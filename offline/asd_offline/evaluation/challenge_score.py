"""Compute a challenge's results and official score from the scores of test clips.

What is computed depends on the year's `asd_offline.evaluation.rules`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.ground_truth import GroundTruth
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.evaluation.confidence_intervals import pooled_official_ci95, score_ci95
from asd_offline.evaluation.metrics import arithmetic_mean, harmonic_mean
from asd_offline.evaluation.results import (
    ChallengeResult,
    MachineResult,
    Means,
    SectionMetrics,
    SectionResult,
)
from asd_offline.evaluation.rules import scoring_rules
from asd_offline.evaluation.rules.scoring_rules import METRICS, ScoringRules
from asd_offline.evaluation.section_metrics import evaluate_section
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.evaluation.submission import Submission

Scores = Mapping[str, Mapping[str, SectionScores]]
"""Machine type -> section -> scores of its test clips."""
Reasons = Mapping[str, Mapping[str, str]]
"""Machine type -> section -> why it has no scores."""


def evaluate_scores(
    rules: ScoringRules,
    scores: Scores,
    machines: Sequence[str] | None = None,
    *,
    reasons: Reasons | None = None,
    rejected: Sequence[Rejected] = (),
) -> ChallengeResult:
    """Compute every metric of a challenge's official table.

    Parameters
    ----------
    rules
        Rules of the challenge.
    scores
        Scores with label, domain and decision of each clip. A section without clips, or whose clips
        do not allow a metric, gets None and the reason. Without decisions there are no precision,
        recall and F1.
    machines
        Machine types to report, in that order; all in the organisers' order if None.
    reasons
        Reasons of sections without scores.
    rejected
        Files that were not read, to be listed in the result.
    """
    reasons = reasons or {}
    if machines is None:
        machines = CHALLENGES[rules.year].sort_machines({*scores, *reasons})
    results = []
    evaluated: list[tuple[SectionResult, SectionScores]] = []
    for machine in machines:
        clips_by_section, why = scores.get(machine, {}), reasons.get(machine, {})
        sections = []
        for name in sorted({*clips_by_section, *why}):
            clips = clips_by_section.get(name) or SectionScores.from_columns()
            section = evaluate_section(rules, name, clips, why.get(name))
            sections.append(section)
            evaluated.append((section, clips))
        results.append(_machine_result(rules, machine, tuple(sections)))
    return _challenge_result(rules, tuple(results), evaluated, tuple(rejected))


def evaluate_submission(submission: Submission, truth: GroundTruth) -> ChallengeResult:
    """Evaluate a system's files; sections without scores get None and the reason."""
    rules = scoring_rules(truth.year)
    scores: dict[str, dict[str, SectionScores]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for machine, sections in submission.scores.items():
        for section, known in truth.machines[machine].items():
            submitted = sections.get(section, {})
            decisions = submission.decisions.get(machine, {}).get(section, {})
            scores.setdefault(machine, {})[section] = SectionScores.from_columns(
                score=list(submitted.values()),
                label=[known.clips[name].label for name in submitted],
                domain=[known.clips[name].domain for name in submitted],
                decision=[decisions.get(name) for name in submitted],
            )
            if not submitted:
                lacking = [name for name in submission.missing if f"_{machine}_{section}" in name]
                reasons.setdefault(machine, {})[section] = f"no file {' or '.join(lacking)}"
    return evaluate_scores(rules, scores, reasons=reasons, rejected=submission.rejected)


def _rows(sections: Iterable[SectionResult]) -> list[SectionMetrics]:
    """Return the rows of a mean: the sections, or all of source and then all of target."""
    listed = list(sections)
    if any(section.source or section.target for section in listed):
        source = [section.source or SectionMetrics() for section in listed]
        return source + [section.target or SectionMetrics() for section in listed]
    return [section.overall or SectionMetrics() for section in listed]


def _mean_of_rows(
    mean: Callable[[Sequence[float]], float], rows: Sequence[SectionMetrics]
) -> SectionMetrics:
    """Compute the mean of each metric over the rows that have it."""
    means: dict[str, float | None] = {}
    for name in METRICS:
        values = [value for row in rows if (value := row.values[name]) is not None]
        means[name] = mean(values) if values else None
    return SectionMetrics(
        means["auc"], means["pauc"], means["precision"], means["recall"], means["f1"]
    )


def _means(
    rules: ScoringRules, sections: Sequence[SectionResult], official_source_rows: int | None = None
) -> Means:
    rows = _rows(sections)
    arithmetic = _mean_of_rows(arithmetic_mean, rows)
    harmonic = _mean_of_rows(harmonic_mean, rows)
    if rules.domains == "none":
        return Means(arithmetic, harmonic)
    source_rows = len(rows) // 2 if len(rows) == 2 * len(sections) else 0
    source = _mean_of_rows(harmonic_mean, rows[:source_rows])
    target = _mean_of_rows(harmonic_mean, rows[source_rows:])
    if official_source_rows is None:
        return Means(arithmetic, harmonic, source, target)
    return Means(
        arithmetic,
        harmonic,
        source,
        target,
        official_source_harmonic=_mean_of_rows(harmonic_mean, rows[:official_source_rows]),
        official_target_harmonic=_mean_of_rows(harmonic_mean, rows[official_source_rows:]),
    )


def _machine_result(
    rules: ScoringRules, machine: str, sections: tuple[SectionResult, ...]
) -> MachineResult:
    count = rules.official_source_rows
    means = _means(rules, sections, None if count is None else count(len(sections)))
    return MachineResult(machine, sections, means, _score(rules, sections))


def _score(rules: ScoringRules, sections: Iterable[SectionResult]) -> float | None:
    parts = [x for section in sections for x in section.score_parts(rules) if x is not None]
    mean = arithmetic_mean if rules.mean == "arithmetic" else harmonic_mean
    return mean(parts) if parts else None


def _challenge_result(
    rules: ScoringRules,
    machines: tuple[MachineResult, ...],
    evaluated: Sequence[tuple[SectionResult, SectionScores]],
    rejected: tuple[Rejected, ...],
) -> ChallengeResult:
    sections = [section for machine in machines for section in machine.sections]
    means, score = _means(rules, sections), _score(rules, sections)
    if rules.means_by_machine:
        by_machine = [machine.means.arithmetic for machine in machines]
        means = Means(_mean_of_rows(arithmetic_mean, by_machine), means.harmonic)
        scores = [machine.score for machine in machines if machine.score is not None]
        score = arithmetic_mean(scores) if scores else None
    challenge = CHALLENGES[rules.year]
    present = {m.machine: {s.section for s in m.sections} for m in machines if m.sections}
    set_name = challenge.find_set(present)
    expected = challenge.sets[set_name] if set_name else {}
    pooled = None
    if rules.csv.has_ci95:
        pooled = pooled_official_ci95(rules, [clips for _, clips in evaluated])
    return ChallengeResult(
        rules=rules,
        machines=machines,
        means=means,
        partial_score=score,
        set_name=set_name,
        missing=_missing(rules, machines, expected),
        ci95=score_ci95(rules, machines, evaluated),
        official_ci95=pooled,
        rejected=rejected,
    )


def _missing(
    rules: ScoringRules, machines: Iterable[MachineResult], expected: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Return expected machines, and expected sections of present machines, without metrics."""
    complete = {
        machine.machine: {s.section for s in machine.sections if None not in s.score_parts(rules)}
        for machine in machines
        if machine.score is not None
    }
    missing = []
    for machine in CHALLENGES[rules.year].sort_machines(expected):
        if machine not in complete:
            missing.append(machine)
        else:
            missing += [f"{machine} {s}" for s in expected[machine] if s not in complete[machine]]
    return tuple(missing)
