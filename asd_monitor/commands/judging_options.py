"""Options and output that the commands about events share."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.state_options import find_state
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.judging.actions import Outcome
    from asd_monitor.judging.store import Author, JudgingStore

VIA = "command line"
MachineArgument = Annotated[
    str, typer.Argument(metavar="MACHINE", help="Id or display name of the machine.")
]
Who = Annotated[
    str | None,
    typer.Option("--who", metavar="NAME", help="Your name. By default that of your login."),
]
Comment = Annotated[
    str, typer.Option("--comment", metavar="TEXT", help="Comment that is kept with the event.")
]


def open_store(state_dir: Path | None, config: Path | None) -> "JudgingStore":
    """Return the history of the state folder, to add to it."""
    from asd_monitor.judging.store import JudgingStore
    from asd_monitor.storage.private import keep_private

    keep_private()
    return JudgingStore(find_state(state_dir, config).root)


def make_author(who: str | None) -> "Author":
    """Return who runs the command."""
    from asd_monitor.judging.store import Author

    try:
        return Author(who or getpass.getuser(), VIA)
    except (KeyError, OSError):  # a user id without a name
        return Author("unknown", VIA)


def print_outcome(outcome: "Outcome") -> None:
    """Print what was done and what happens next; a warning on stderr."""
    typer.echo(wrap(outcome.message))
    if outcome.warning:
        typer.echo(wrap(f"warning: {outcome.warning}", sys.stderr), err=True)
