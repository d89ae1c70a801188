"""The command line: which commands there are, and how errors become exit codes."""

import errno
import io
import sys
from contextlib import suppress
from importlib import import_module

import typer

from asd_monitor import __version__
from asd_monitor.errors import AsdMonitorError
from asd_monitor.terminal.logging_setup import complain

COMMANDS = (
    "run",
    "learn",
    "demo",
    "devices",
    "score",
    "picture",
    "inspect",
    "check",
    "doctor",
    "bench",
    "replay",
    "evaluate",
    "download",
    "synth",
    "train",
    "export",
    "compare",
    "oracle",
)
"""Each is a function in asd_monitor/commands/, in a file of its own name."""

INTERNAL = 1

app = typer.Typer(
    name="asd-monitor",
    help="Listen to machines, score their sound, and raise an alarm when it changes.",
    epilog="Exit codes: 0 done; 1 fault of the program; 2 usage or configuration; 3 model file; "
    "4 audio source; 5 dataset; 6 broker or port; 7 state folder; 8 training run.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asd-monitor {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Listen to machines, score their sound, and raise an alarm when it changes."""


def _register() -> None:
    for name in COMMANDS:
        module = import_module(f"asd_monitor.commands.{name}")
        app.command(name)(getattr(module, name))


def main() -> None:
    """Run the command line; entry point of ``asd-monitor``."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr does by itself: a file's name may hold what the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    _register()
    try:
        try:
            app()
        finally:
            if sys.stdout:  # what cannot be written is told here, not by Python's own end
                sys.stdout.flush()
    except AsdMonitorError as error:
        complain(f"asd-monitor: {error}")
        raise SystemExit(error.exit_code) from error
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; nobody is left to tell.
        sys.stderr.close()
        raise SystemExit(INTERNAL) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        complain(f"asd-monitor: {where}{error.strerror}; make room on the disk")
        _give_up_stdout()
        raise SystemExit(INTERNAL) from None


def _give_up_stdout() -> None:
    """Drop what stdout still holds; Python would try to write it again at its end."""
    with suppress(OSError):
        sys.stdout.close()


if __name__ == "__main__":
    main()
