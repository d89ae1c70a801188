"""The table of a comparison on a terminal; where it is too wide, in several parts."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table

from asd_offline.comparison.summary import Comparison
from asd_offline.comparison.table import (
    Column,
    caption,
    cost_columns,
    main_machine_columns,
    names,
    overall_columns,
    padded,
    remarks,
)

GAP = 2


def tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """Return the table, with models in rows; no part of it wider than ``width`` where possible."""
    models = names(comparison)
    machines, overall = main_machine_columns(comparison), overall_columns(comparison)
    costs = cost_columns(comparison)
    room = width - max(len("model"), *map(cell_len, models))
    whole = [*machines, *overall, *costs]
    if sum(map(_width, whole)) <= room:
        yield _table(models, whole)
        return
    for part in (*_parts([*overall, *costs], room), *_parts(machines, room)):
        yield _table(models, part)


def words(comparison: Comparison) -> Iterator[str]:
    """Return what should be read with the table."""
    yield from remarks(comparison)
    yield ""
    yield from caption(comparison)


def _parts(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    part: list[Column] = []
    for column in columns:
        if part and sum(map(_width, [*part, column])) > room:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _width(column: Column) -> int:
    return GAP + max(cell_len(column.title), *map(cell_len, padded(column)))


def _table(models: Sequence[str], columns: Sequence[Column]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("model", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    texts = [padded(column) for column in columns]
    for place, model in enumerate(models):
        cells = (
            f"[bold green]{text[place]}[/]" if column.cells[place].best else text[place]
            for column, text in zip(columns, texts, strict=True)
        )
        table.add_row(model, *cells)
    return table
