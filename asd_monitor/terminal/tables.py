"""Tables on stdout that never cut a cell: long ones are folded, and a pipe has no width limit."""

from rich.console import Console
from rich.table import Table

from asd_monitor.terminal.safe_console import SafeConsole

PIPE_WIDTH = 10_000
"""Characters of a line that is not printed on a terminal; tables use no more than they need."""


def stdout_console(*, markup: bool = False) -> Console:
    """Return a console for stdout, as wide as its terminal, or without limit in a pipe or file.

    Parameters
    ----------
    markup
        Interpret ``[bold]`` in text; false for names, which may contain brackets.
    """
    console = SafeConsole(highlight=False, markup=markup)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def fold_columns(table: Table) -> Table:
    """Continue cells that are too wide on the next line, instead of cutting them; return it."""
    for column in table.columns:
        column.overflow, column.no_wrap = "fold", False
    return table
