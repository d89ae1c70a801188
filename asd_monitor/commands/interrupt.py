"""End a long command cleanly when the user presses Ctrl-C."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INTERRUPTED = 130
"""Exit code, as a shell reports it: 128 + SIGINT."""


@contextmanager
def exit_on_interrupt(hint: str) -> Iterator[None]:
    """Print ``stopped; hint`` and exit with code 130 if the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"stopped; {hint}", err=True)
        raise typer.Exit(INTERRUPTED) from None
