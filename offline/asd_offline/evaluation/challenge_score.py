"""From scores of test clips to a year's table and official score, by that year's rules.

2020: AUC and pAUC per machine id, arithmetic means. 2021: per section and domain, each domain
alone. 2022 and 2023: the AUC of a domain is of its normal clips against all anomalies of the
section, the pAUC is of the whole section. Since 2021 the official score is a harmonic mean.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from asd_monitor.errors import DatasetError
from asd_offline.datasets.challenge_sets import (
    YEARS,
    in_official_order,
    official_set,
    which_set,
)
from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.ground_truth import GroundTruth
from asd_offline.evaluation.confidence_intervals import pooled_official_ci95, score_ci95
from asd_offline.evaluation.metrics import arithmetic_mean, harmonic_mean
from asd_offline.evaluation.results import (
    ChallengeResult,
    ClipScore,
    Decisions,
    MachineResult,
    Means,
    Reasons,
    Scores,
    SectionMetrics,
    SectionResult,
)
from asd_offline.evaluation.section_metrics import (
    SectionClips,
    score_parts,
    section_clips,
    section_result,
)
from asd_offline.evaluation.submission import Submission


def evaluate_year(
    year: int,
    scores: Scores,
    decisions: Decisions | None = None,
    machines: Sequence[str] | None = None,
    *,
    reasons: Reasons | None = None,
    rejected: Sequence[Rejected] = (),
) -> ChallengeResult:
    """Compute every figure of a year's official table from the scores of test clips.

    Parameters
    ----------
    year
        2020 to 2023.
    scores
        Machine type -> section (``section_00``; 2020: ``id_00``) -> clips, each with score, label
        and domain. A section without clips, or whose clips do not allow a figure, gets None and
        the reason; nothing is made up for it.
    decisions
        Machine type -> section -> file name -> 0 or 1; without them precision, recall and F1 are
        None.
    machines
        Machine types to report, in that order; without it all, in the organisers' order.
    reasons
        Machine type -> section -> why it has no scores.
    rejected
        Files that were not read, to be listed in the result.

    Raises
    ------
    DatasetError
        If the year is not one of those.
    """
    if year not in YEARS:
        expected = ", ".join(str(known) for known in YEARS)
        msg = f"year {year}: expected one of {expected}; later years are not supported"
        raise DatasetError(msg)
    reasons = reasons or {}
    if machines is None:
        machines = in_official_order(year, {*scores, *reasons})
    results = []
    columns: list[tuple[SectionResult, SectionClips]] = []
    for machine in machines:
        given, why = scores.get(machine, {}), reasons.get(machine, {})
        decided = (decisions or {}).get(machine, {})
        sections = []
        for section in sorted({*given, *why}):
            clips = section_clips(given.get(section, ()), decided.get(section, {}))
            result = section_result(year, section, clips, why.get(section))
            sections.append(result)
            columns.append((result, clips))
        results.append(_machine(year, machine, tuple(sections)))
    return _year(year, tuple(results), columns, tuple(rejected))


def evaluate_submission(submission: Submission, truth: GroundTruth) -> ChallengeResult:
    """Evaluate a system's files; what a machine with some scores lacks gets None and the reason."""
    scores: dict[str, dict[str, list[ClipScore]]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for machine, sections in submission.scores.items():
        for section, known in truth.machines[machine].items():
            given = sections.get(section, {})
            scores.setdefault(machine, {})[section] = [
                ClipScore(name, score, known.clips[name].label, known.clips[name].domain)
                for name, score in given.items()
            ]
            if not given:
                lacking = [name for name in submission.missing if f"_{machine}_{section}" in name]
                reasons.setdefault(machine, {})[section] = f"no file {' or '.join(lacking)}"
    return evaluate_year(
        truth.year, scores, submission.decisions, reasons=reasons, rejected=submission.rejected
    )


def _rows(sections: Iterable[SectionResult]) -> list[SectionMetrics]:
    """Rows that a mean is taken over: 2020 the ids; since 2021 first all of source, then target."""
    listed = list(sections)
    if any(s.source or s.target for s in listed):
        return [s.source or SectionMetrics() for s in listed] + [
            s.target or SectionMetrics() for s in listed
        ]
    return [s.whole or SectionMetrics() for s in listed]


def _over(
    mean: Callable[[Sequence[float]], float], rows: Sequence[SectionMetrics]
) -> SectionMetrics:
    """Mean of each column over the rows that have it."""
    columns = list(zip(*(row.values for row in rows), strict=True)) or [()] * 5
    present = [[value for value in column if value is not None] for column in columns]
    means = [mean(column) if column else None for column in present]
    return SectionMetrics(means[0], means[1], means[2], means[3], means[4])


def _means(year: int, sections: Sequence[SectionResult], official_cut: int | None) -> Means:
    rows = _rows(sections)
    arithmetic, harmonic = _over(arithmetic_mean, rows), _over(harmonic_mean, rows)
    if year == 2020:
        return Means(arithmetic, harmonic)
    half = len(rows) // 2 if len(rows) == 2 * len(sections) else 0
    source, target = _over(harmonic_mean, rows[:half]), _over(harmonic_mean, rows[half:])
    if official_cut is None:
        return Means(arithmetic, harmonic, source, target)
    first, rest = rows[:official_cut], rows[official_cut:]
    official = _over(harmonic_mean, first), _over(harmonic_mean, rest)
    return Means(arithmetic, harmonic, source, target, *official)


def _machine(year: int, machine: str, sections: tuple[SectionResult, ...]) -> MachineResult:
    # the scripts of 2021 and 2022 cut at half the number of machine types, and of sections
    cut = {2021: len(official_set(2021, "eval")) // 2, 2022: len(sections) // 2}.get(year)
    means = _means(year, sections, cut)
    return MachineResult(machine, sections, means, _score(year, sections))


def _score(year: int, sections: Iterable[SectionResult]) -> float | None:
    parts = [x for section in sections for x in score_parts(year, section) if x is not None]
    mean = arithmetic_mean if year == 2020 else harmonic_mean
    return mean(parts) if parts else None


def _year(
    year: int,
    machines: tuple[MachineResult, ...],
    columns: list[tuple[SectionResult, SectionClips]],
    rejected: tuple[Rejected, ...],
) -> ChallengeResult:
    sections = [section for machine in machines for section in machine.sections]
    means, score = _means(year, sections, None), _score(year, sections)
    if year == 2020:
        means = Means(
            _over(arithmetic_mean, [m.means.arithmetic for m in machines]), means.harmonic
        )
        scored = [machine.score for machine in machines if machine.score is not None]
        score = arithmetic_mean(scored) if scored else None
    present = {m.machine: {s.section for s in m.sections} for m in machines if m.sections}
    set_name = which_set(year, present)
    pooled = pooled_official_ci95([clips for _, clips in columns]) if year >= 2022 else None
    return ChallengeResult(
        year=year,
        machines=machines,
        means=means,
        partial_score=score,
        set_name=set_name,
        missing=_missing(year, machines, official_set(year, set_name) if set_name else {}),
        ci95=score_ci95(year, machines, columns),
        official_ci95=pooled,
        rejected=rejected,
    )


def _missing(
    year: int, machines: Iterable[MachineResult], expected: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Machines, and sections of machines that are there, without all of their figures."""
    whole = {
        machine.machine: {s.section for s in machine.sections if None not in score_parts(year, s)}
        for machine in machines
        if machine.score is not None
    }
    lacking = []
    for machine in in_official_order(year, expected):
        if machine not in whole:
            lacking.append(machine)
        else:
            lacking += [f"{machine} {s}" for s in expected[machine] if s not in whole[machine]]
    return tuple(lacking)
