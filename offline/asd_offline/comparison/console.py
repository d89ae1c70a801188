"""Table of a comparison for the terminal, in several parts if it is too wide."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table

from asd_offline.comparison.summary import Comparison
from asd_offline.comparison.table import (
    Column,
    auc_columns_by_machine,
    caption,
    cost_columns,
    model_names,
    overall_columns,
    pad_cells,
    remarks,
)

GAP = 2
"""Spaces between columns."""


def make_tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """Yield the table with models in rows, split into parts no wider than ``width``.

    A single column that is wider is not split.
    """
    models = model_names(comparison)
    by_machine = auc_columns_by_machine(comparison)
    others = [*overall_columns(comparison), *cost_columns(comparison)]
    available = width - max(len("model"), *map(cell_len, models))
    if sum(map(_width, [*by_machine, *others])) <= available:
        yield _make_table(models, [*by_machine, *others])
        return
    for part in (*_split(others, available), *_split(by_machine, available)):
        yield _make_table(models, part)


def notes(comparison: Comparison) -> list[str]:
    """Return the lines below the table."""
    lines = remarks(comparison)
    return [*lines, *([""] if lines else []), *caption(comparison)]


def _split(columns: Sequence[Column], available: int) -> Iterator[list[Column]]:
    part: list[Column] = []
    for column in columns:
        if part and sum(map(_width, [*part, column])) > available:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _width(column: Column) -> int:
    return GAP + max(cell_len(column.title), *map(cell_len, pad_cells(column)))


def _make_table(models: Sequence[str], columns: Sequence[Column]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("model", overflow="fold")
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    texts = [pad_cells(column) for column in columns]
    for index, model in enumerate(models):
        cells = (
            f"[bold green]{text[index]}[/]" if column.cells[index].best else text[index]
            for column, text in zip(columns, texts, strict=True)
        )
        table.add_row(model, *cells)
    return table
