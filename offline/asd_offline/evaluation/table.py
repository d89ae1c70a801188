"""A challenge's result for the terminal: one table over all machines, then the official score."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from asd_offline.evaluation.results import ChallengeResult, MachineResult

ALL = "all"
_TITLES = {"auc": "AUC", "pauc": "pAUC", "f1": "F1", "source": " src", "target": " tgt", "": ""}


def result_table(result: ChallengeResult) -> Table:
    """Return a table with a row for each section and, below those of a machine, its means.

    "score" is the official formula over one machine; means are of the kind that it uses.
    """
    heading, rows = table_rows(result)
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for index, name in enumerate(heading):
        is_name = index < 2
        table.add_column(
            name,
            justify="left" if is_name else "right",
            no_wrap=not is_name,
            overflow="fold",
        )
    for cells, is_mean in rows:
        if cells[0] == ALL:
            table.add_section()
        table.add_row(*cells, style="bold" if is_mean else None)
    return table


def table_rows(result: ChallengeResult) -> tuple[list[str], list[tuple[list[str], bool]]]:
    """Return the heading, and the cells of each row with whether it is one of means."""
    rules = result.rules
    has_decisions = result.means.arithmetic.f1 is not None
    names = [name for name in rules.table_metrics if has_decisions or not name.startswith("f1")]
    rows = [row for machine in result.machines for row in _machine_rows(machine, result, names)]
    if len(result.machines) > 1:
        means = [_number(result.means.value(name, rules)) for name in names]
        rows.append(([ALL, "mean", *means, _number(result.partial_score)], True))
    parts = [name.partition("_") for name in names]
    titles = [f"{_TITLES[metric]}{_TITLES[domain]}" for metric, _, domain in parts]
    return ["machine", rules.section_word, *titles, "score"], rows


def _machine_rows(
    machine: MachineResult, result: ChallengeResult, names: Sequence[str]
) -> Iterator[tuple[list[str], bool]]:
    single = len(machine.sections) == 1
    for index, section in enumerate(machine.sections):
        cells = [_number(section.value(name)) for name in names]
        name = machine.machine if index == 0 else ""
        score = _number(machine.score) if single else ""
        yield [name, section.section.rpartition("_")[2], *cells, score], False
    if not single:
        means = [_number(machine.means.value(name, result.rules)) for name in names]
        yield ["", "mean", *means, _number(machine.score)], True


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _format_interval(result: ChallengeResult) -> str:
    if result.ci95 is not None and result.partial_score is not None:
        low = max(0.0, result.partial_score - result.ci95)
        high = min(1.0, result.partial_score + result.ci95)
        return f" (95 % interval over test clips: {low:.3f} to {high:.3f})"
    if result.partial_score == 1.0:
        return " (no interval: every clip is ranked correctly, so these clips show no spread)"
    return " (no interval: too few clips)"


def reason_lines(result: ChallengeResult) -> Iterator[str]:
    """Yield lines on why sections lack metrics, each reason once."""
    lacking: dict[str, dict[str, list[str]]] = {}
    for machine in result.machines:
        for section in machine.sections:
            if section.reason:
                machines = lacking.setdefault(section.reason, {})
                machines.setdefault(machine.machine, []).append(section.section)
    for reason, machines in lacking.items():
        names = (f"{machine} {', '.join(sections)}" for machine, sections in machines.items())
        yield f"{'; '.join(names)}: {reason}"


def score_lines(result: ChallengeResult) -> Iterator[str]:
    """Yield the lines below the table: sections without metrics, then the score and its formula."""
    yield from reason_lines(result)
    formula = result.rules.formula
    interval = _format_interval(result)
    if result.official_score is not None:
        name = {"dev": "development", "eval": "evaluation"}[str(result.set_name)]
        yield f"official score {result.official_score:.4f}{interval}"
        yield f"  {formula}; DCASE {result.year} {name} set"
        return
    if result.set_name is None:
        yield f"no official score: not the machines and sections of one set of {result.year}"
    else:
        missing = ", ".join(result.missing)
        yield f"no official score: no metrics of these of the {result.set_name} set: {missing}"
    if result.partial_score is not None:
        yield f"partial score {result.partial_score:.4f}{interval}"
        yield f"  {formula}, over the available sections"
