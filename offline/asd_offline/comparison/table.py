"""The columns of the table, ready for a terminal, Markdown or a page."""

from dataclasses import dataclass

from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import Cell, Comparison, Row

WORDS = {
    "auc": "AUC",
    "auc_source": "AUC src",
    "auc_target": "AUC tgt",
    "pauc": "pAUC",
    "pauc_source": "pAUC src",
    "pauc_target": "pAUC tgt",
    "score": "score",
}
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands in one cell."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a cell for each model."""

    title: str
    cells: tuple[Entered, ...]
    left: bool = False
    """Whether texts begin below each other, or end there."""


def machine_columns(comparison: Comparison, figure: str, *, short: bool = True) -> list[Column]:
    """Return a figure by machine, one column each.

    Parameters
    ----------
    comparison
        What came out.
    figure
        Its name.
    short
        Whether the title leaves out that it is an AUC.
    """
    word = WORDS[figure]
    if short:
        word = word.removeprefix("AUC").strip()
    return [
        _column(comparison, (machine, figure), f"{machine} {word}".strip())
        for machine in comparison.machines
    ]


def main_machine_columns(comparison: Comparison) -> list[Column]:
    """Return the AUC by machine, where there are domains by machine and domain."""
    if len(comparison.machines) < 2:
        return []
    columns = [machine_columns(comparison, figure) for figure in auc_names(comparison)]
    return [column for group in zip(*columns, strict=True) for column in group]


def auc_names(comparison: Comparison) -> tuple[str, ...]:
    """Return the figures that are an AUC: of both domains, or the one where there are none."""
    domains = tuple(name for name in ("auc_source", "auc_target") if name in comparison.names)
    return domains or ("auc",)


def overall_columns(comparison: Comparison) -> list[Column]:
    """Return the figures over all machines."""
    pauc = tuple(name for name in ("pauc",) if name in comparison.names)
    score = tuple(name for name in ("score",) if name in comparison.names)
    mean = "" if len(comparison.machines) < 2 else "mean "
    return [
        _column(comparison, (OVERALL, name), WORDS[name] if name == "score" else mean + WORDS[name])
        for name in (*auc_names(comparison), *pauc, *score)
    ]


def cost_columns(comparison: Comparison) -> list[Column]:
    """Return what each model costs."""
    rows = comparison.rows
    return [
        Column("parameters", tuple(Entered(_parameters(row)) for row in rows)),
        Column("ms/window", tuple(Entered(_milliseconds(row)) for row in rows)),
        Column("window", tuple(Entered(_window(row)) for row in rows)),
        Column("training", tuple(Entered(_training(row)) for row in rows)),
    ]


def names(comparison: Comparison) -> tuple[str, ...]:
    """Return the models in the order of the rows."""
    return tuple(row.entry.model for row in comparison.rows)


def remarks(comparison: Comparison) -> list[str]:
    """Return what must be known of single models."""
    return [f"{row.entry.model}: {text}" for row in comparison.rows for text in row.remarks()]


def caption(comparison: Comparison) -> list[str]:
    """Return how to read the table, a sentence each."""
    several = any(len(each.values) > 1 for row in comparison.rows for each in row.cells.values())
    found = []
    if several:
        found.append(
            "Means over seeds ± their standard deviation; without ±: one run, nothing about the "
            "model is random, or a single seed was left."
        )
    found.append(
        "*: ahead of every other model by more than the standard deviations of both over seeds "
        "(root of the sum of their squares); a model without chance counts with the largest."
        if several
        else "No figure is marked as best: with a single seed the spread is not known."
    )
    if comparison.ci95:
        found.append(
            "Seeds say nothing about the choice of test clips: with so many clips a score is "
            f"known to ±{comparison.ci95:.3f} (95 %, median of the models)."
        )
    found.append(
        "parameters: trained, in the model file of all machines; ms/window: median on one core of "
        "this computer."
    )
    return found


def text_of(cell: Cell | None) -> str:
    """Return ``0.853 ±0.012``, without the spread where there is one value only."""
    if cell is None:
        return NOTHING
    spread = f" ±{cell.spread:.3f}" if len(cell.values) > 1 and cell.spread is not None else ""
    return f"{cell.mean:.3f}{spread}"


def padded(column: Column) -> list[str]:
    """Return the texts of one column, equally wide, means below each other, the best with a star.

    >>> padded(Column("AUC", (Entered("0.853 ±0.012", best=True), Entered("0.760"))))
    ['0.853*±0.012', '0.760       ']
    """
    texts = [each.text.replace(" ", "*" if each.best else " ", 1) for each in column.cells]
    texts = [
        f"{text}*" if each.best and "*" not in text else text
        for text, each in zip(texts, column.cells, strict=True)
    ]
    widest = max(map(len, texts), default=0)
    return [text.ljust(widest) if column.left else text.rjust(widest) for text in texts]


def _column(comparison: Comparison, place: tuple[str, str], title: str) -> Column:
    best = comparison.best.get(place)
    cells = (
        Entered(text_of(row.cells.get(place)), row.entry.model == best) for row in comparison.rows
    )
    return Column(title, tuple(cells), left=True)


def _parameters(row: Row) -> str:
    if not row.good:
        return NOTHING
    count = row.good[0].parameters
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.1f} M" if count >= 999_500 else f"{count / 1e3:.0f} k"


def _milliseconds(row: Row) -> str:
    if row.speed is None:
        return NOTHING
    value = row.speed.milliseconds
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f}" if value < 100 else f"{value:.0f}"


def _window(row: Row) -> str:
    window_s = row.good[0].window_s if row.good else None
    return NOTHING if window_s is None else f"{window_s:.3g} s"


def _training(row: Row) -> str:
    if not row.good:
        return NOTHING
    return "none" if row.training is None else f"{row.training.mean:.0f} s"
