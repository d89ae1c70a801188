"""The result tables that the organisers' evaluators write, cell by cell.

All metrics have full float precision. Cells without a metric (no decisions submitted, a section
without scores) stay empty; the organisers' scripts would stop with an error.
"""

import csv
import io
from collections.abc import Iterable

from asd_offline.evaluation.results import ChallengeResult, MachineResult, Means, SectionMetrics
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

Row = list[str]

_MEAN_HEADING = ["", "", "AUC", "pAUC", "precision", "recall", "F1 score"]
_OVER_ALL = " over all machine types, sections, and domains"


def official_csv(result: ChallengeResult) -> str:
    """Return the result table as text, in the form of its year."""
    form = result.rules.csv
    rows: list[Row] = []
    for machine in result.machines:
        rows += [[machine.machine], *_machine_rows(machine, result.rules), []]
    if form.has_totals:
        rows += [_MEAN_HEADING, *_mean_rows(result.means, _OVER_ALL), []]
        rows.append(["official score", "", _cell(result.partial_score)])
        if form.has_ci95:
            rows.append(["official score ci95", "", _cell(result.official_ci95)])
        rows.append([])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _machine_rows(machine: MachineResult, rules: ScoringRules) -> list[Row]:
    form = rules.csv
    rows = [list(form.heading)]
    for domain, metrics in form.rows:
        for section in machine.sections:
            cells = _cells(section.value(name) for name in metrics)
            rows.append([section.section.rpartition("_")[2], *([domain] if domain else []), *cells])
    if form.has_average_row:
        means = machine.means.arithmetic.values
        return [*rows, ["Average", *_cells(means[name] for name in rules.metrics)]]
    return [*rows, *([_MEAN_HEADING] * form.has_mean_heading), *_mean_rows(machine.means)]


def _mean_rows(means: Means, over: str = "") -> list[Row]:
    """Return rows of means; per domain as the organisers divide them, where that differs."""
    named = {
        "arithmetic mean": means.arithmetic,
        "harmonic mean": means.harmonic,
        "source harmonic mean": means.official_source_harmonic or means.source_harmonic,
        "target harmonic mean": means.official_target_harmonic or means.target_harmonic,
    }
    return [
        [f"{name}{over}", "", *_cells((metrics or SectionMetrics()).values.values())]
        for name, metrics in named.items()
    ]


def _cells(values: Iterable[float | None]) -> Row:
    return [_cell(value) for value in values]


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
