"""The result tables that the organisers' evaluators write, cell by cell.

All figures carry full float precision. Cells without a figure (no decisions submitted, a section
without scores) stay empty; the organisers' scripts would have stopped there.
"""

import csv
import io

from asd_offline.evaluation.results import (
    ChallengeResult,
    MachineResult,
    Means,
    SectionMetrics,
    SectionResult,
)

Row = list[str]

_MEAN_COLUMNS = ["AUC", "pAUC", "precision", "recall", "F1 score"]
_OVER_ALL = "over all machine types, sections, and domains"


def official_csv(result: ChallengeResult) -> str:
    """Return the table of a year as text: that of 2020, of 2021, or that of 2022 and 2023."""
    rows: list[Row] = []
    for machine in result.machines:
        rows += [[machine.machine], *_machine_rows(machine, result.year), []]
    if result.year != 2020:
        rows += [["", "", *_MEAN_COLUMNS], *_mean_rows(result.means, f" {_OVER_ALL}"), []]
        rows.append(["official score", "", _cell(result.partial_score)])
        if result.year >= 2022:
            rows.append(["official score ci95", "", _cell(result.official_ci95)])
        rows.append([])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _machine_rows(machine: MachineResult, year: int) -> list[Row]:
    numbered = [(s.section.rpartition("_")[2], s) for s in machine.sections]
    if year == 2020:
        rows = [[number, *_cells(s.whole, 2)] for number, s in numbered]
        return [["id", "AUC", "pAUC"], *rows, ["Average", *_cells(machine.means.arithmetic, 2)]]
    if year == 2021:
        rows = [["section", "domain", *_MEAN_COLUMNS]]
        rows += [[number, "source", *_cells(s.source)] for number, s in numbered]
        rows += [[number, "target", *_cells(s.target)] for number, s in numbered]
        return rows + _mean_rows(machine.means)
    paired = [f"{name} ({domain})" for name in _MEAN_COLUMNS[2:] for domain in ("source", "target")]
    rows = [["section", "AUC (all)", "AUC (source)", "AUC (target)", "pAUC", *paired]]
    rows += [[number, *_domain_cells(s)] for number, s in numbered]
    return [*rows, ["", "", *_MEAN_COLUMNS], *_mean_rows(machine.means)]


def _domain_cells(section: SectionResult) -> Row:
    whole, source, target = section.figures
    rates = [v for pair in zip(source.values[2:], target.values[2:], strict=True) for v in pair]
    return [_cell(v) for v in (whole.auc, source.auc, target.auc, whole.pauc, *rates)]


def _mean_rows(means: Means, over: str = "") -> list[Row]:
    """Rows of means; per domain as the organisers cut them, where that differs."""
    named = {
        "arithmetic mean": means.arithmetic,
        "harmonic mean": means.harmonic,
        "source harmonic mean": means.official_source_harmonic or means.source_harmonic,
        "target harmonic mean": means.official_target_harmonic or means.target_harmonic,
    }
    return [[f"{name}{over}", "", *_cells(figures)] for name, figures in named.items()]


def _cells(figures: SectionMetrics | None, columns: int = 5) -> Row:
    return [_cell(value) for value in (figures or SectionMetrics()).values[:columns]]


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
