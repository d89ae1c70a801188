"""A year's result for the terminal: one table over all machines, then the official score."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from asd_offline.evaluation.results import (
    ChallengeResult,
    MachineResult,
    SectionMetrics,
    SectionResult,
)

_FORMULAS = {
    2020: "mean of AUC and pAUC over ids, then machines",
    2021: "harmonic mean of AUC and pAUC per section and domain",
    2022: "harmonic mean of source AUC, target AUC and pAUC per section",
    2023: "harmonic mean of source AUC, target AUC and pAUC per machine",
}
ALL = "all"
_COLUMNS = {
    2020: ("AUC", "pAUC"),
    2021: ("AUC src", "AUC tgt", "pAUC src", "pAUC tgt", "F1 src", "F1 tgt"),
    2022: ("AUC src", "AUC tgt", "pAUC", "F1 src", "F1 tgt"),
}


def result_table(result: ChallengeResult) -> Table:
    """Table with a row for each section and, below those of a machine, its means and score.

    Means are arithmetic in 2020 and harmonic since; "score" is the official formula over one
    machine.
    """
    heading, rows = table_rows(result)
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for place, name in enumerate(heading):
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=True)
    for cells, is_mean in rows:
        if cells[0] == ALL:
            table.add_section()
        table.add_row(*cells, style="bold" if is_mean else None)
    return table


def table_rows(result: ChallengeResult) -> tuple[list[str], list[tuple[list[str], bool]]]:
    """Return the heading, and the cells of each row with whether it is one of means."""
    decided = result.means.arithmetic.f1 is not None
    columns = [
        name for name in _COLUMNS[min(result.year, 2022)] if decided or not name.startswith("F1")
    ]
    count = len(columns)
    rows = [row for machine in result.machines for row in _rows(machine, result.year, count)]
    if len(result.machines) > 1:
        cells = _mean_cells(result, result.year)[:count]
        rows.append(([ALL, "mean", *cells, _number(result.partial_score)], True))
    return ["machine", "id" if result.year == 2020 else "section", *columns, "score"], rows


def reason_lines(result: ChallengeResult) -> Iterator[str]:
    """Lines that say why sections lack figures, each reason once."""
    lacking: dict[str, dict[str, list[str]]] = {}
    for machine in result.machines:
        for section in machine.sections:
            if section.reason:
                of_machine = lacking.setdefault(section.reason, {})
                of_machine.setdefault(machine.machine, []).append(section.section)
    for reason, machines in lacking.items():
        names = (f"{machine} {', '.join(sections)}" for machine, sections in machines.items())
        yield f"{'; '.join(names)}: {reason}"


def score_lines(result: ChallengeResult) -> Iterator[str]:
    """Lines to stand below the table: the official score, or why there is none; odd sections."""
    yield from reason_lines(result)
    formula = _FORMULAS[result.year]
    spread = f" ± {result.ci95:.4f} (95 % over test clips)" if result.ci95 is not None else ""
    if result.official_score is not None:
        name = {"dev": "development", "eval": "evaluation"}[str(result.set_name)]
        yield f"official score {result.official_score:.4f}{spread}"
        yield f"  {formula}; DCASE {result.year} {name} set"
        return
    if result.set_name is None:
        yield f"no official score: not the machines and sections of one set of {result.year}"
    else:
        yield f"no official score: the {result.set_name} set lacks {', '.join(result.missing)}"
    if result.partial_score is not None:
        yield f"partial score {result.partial_score:.4f}{spread}"
        yield f"  {formula}, of what is there"


def _rows(machine: MachineResult, year: int, columns: int) -> Iterator[tuple[list[str], bool]]:
    single = len(machine.sections) == 1
    for place, section in enumerate(machine.sections):
        cells = _section_cells(section, year)[:columns]
        name = machine.machine if place == 0 else ""
        score = _number(machine.score) if single else ""
        yield [name, section.section.rpartition("_")[2], *cells, score], False
    if not single:
        cells = _mean_cells(machine, year)[:columns]
        yield ["", "mean", *cells, _number(machine.score)], True


def _section_cells(section: SectionResult, year: int) -> list[str]:
    return _cells(*section.figures, year)


def _mean_cells(result: MachineResult | ChallengeResult, year: int) -> list[str]:
    means = result.means
    whole = means.arithmetic if year == 2020 else means.harmonic
    source, target = (
        means.source_harmonic or SectionMetrics(),
        means.target_harmonic or SectionMetrics(),
    )
    return _cells(whole, source, target, year)


def _cells(
    whole: SectionMetrics, source: SectionMetrics, target: SectionMetrics, year: int
) -> list[str]:
    if year == 2020:
        return [_number(whole.auc), _number(whole.pauc)]
    partial = [source.pauc, target.pauc] if year == 2021 else [whole.pauc]
    return [_number(x) for x in (source.auc, target.auc, *partial, source.f1, target.f1)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
