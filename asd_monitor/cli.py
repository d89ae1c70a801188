"""The command line: the registered commands, and the exit codes of errors."""

import errno
import io
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module

import typer

from asd_monitor import __version__
from asd_monitor.errors import AsdMonitorError
from asd_monitor.terminal.logging_setup import print_error
from asd_monitor.terminal.streams import set_up_streams

MONITORING = "Monitoring"
HISTORY = "History"
MODELS = "Recordings and model files"
DATASETS = "Datasets and training"

COMMANDS = {
    "run": MONITORING,
    "learn": MONITORING,
    "init": MONITORING,
    "demo": MONITORING,
    "devices": MONITORING,
    "check": MONITORING,
    "doctor": MONITORING,
    "access": MONITORING,
    "mqtt": MONITORING,
    "resend": MONITORING,
    "history": HISTORY,
    "events": HISTORY,
    "ack": HISTORY,
    "feedback": HISTORY,
    "shelve": HISTORY,
    "unshelve": HISTORY,
    "refit": HISTORY,
    "modes": HISTORY,
    "calibrate": HISTORY,
    "drift": HISTORY,
    "notify": MONITORING,
    "backup": HISTORY,
    "forget": HISTORY,
    "support": MONITORING,
    "bench": MONITORING,
    "score": MODELS,
    "inspect": MODELS,
    "sign": MODELS,
    "picture": MODELS,
    "detectability": MODELS,
    "replay": DATASETS,
    "evaluate": DATASETS,
    "download": DATASETS,
    "synth": DATASETS,
    "train": DATASETS,
    "export": DATASETS,
    "compare": DATASETS,
    "leaderboard": DATASETS,
    "tune": DATASETS,
    "oracle": DATASETS,
}
"""Every command, with its section of the help: a function of this name in the module of this name
in asd_monitor/commands/.
"""

INTERNAL_ERROR = 1

HELP = "Listen to machines, score their sound, and raise an alarm when it changes."
EPILOG = (
    "Exit codes: 0 success; 1 internal error; 2 usage or configuration; 3 model file; "
    "4 audio source; 5 dataset; 6 broker or port; 7 state folder; 8 training run; "
    "130 interrupted."
)

TORCH_THREADS = ("inference", "learn-", "evidence", "calibration", "model-watch")
"""Starts of the names of the threads that work in torch."""


def create_app() -> typer.Typer:
    """Return the program with all its commands."""
    app = typer.Typer(
        name="asd-monitor",
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, section in COMMANDS.items():
        module = import_module(f"asd_monitor.commands.{name}")
        app.command(name, rich_help_panel=section)(getattr(module, name))
    return app


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"asd-monitor {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_print_version,
        is_eager=True,
    ),
) -> None:  # fmt: skip
    pass


def main() -> None:
    """Run the command line; entry point of ``asd-monitor``."""
    try:
        _run_command()
    except SystemExit as end:
        _exit_before_torch(end.code)
        raise


def _exit_before_torch(code: object) -> None:
    """End the process at once if a thread still works in torch.

    Otherwise Python would end that thread inside torch's C++ code, for which the system aborts the
    process. All has been written and delivered by then: such a thread has outlived the time that
    it was given to stop.
    """
    if not any(thread.name.startswith(TORCH_THREADS) for thread in threading.enumerate()):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run_command() -> None:
    set_up_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As Python does for stderr: a file name may contain characters that the terminal's
        # encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    # The search for plug-ins of pydantic reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    app = create_app()
    try:
        try:
            app()
        finally:
            if sys.stdout:  # report a failed write here, not in Python's own shutdown
                sys.stdout.flush()
    except AsdMonitorError as error:
        print_error(f"asd-monitor: {error}")
        raise SystemExit(error.exit_code) from error
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; there is nothing to report to.
        sys.stderr.close()
        raise SystemExit(INTERNAL_ERROR) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"asd-monitor: {where}{error.strerror}; make room on the disk")
        _discard_stdout()
        raise SystemExit(INTERNAL_ERROR) from None


def _discard_stdout() -> None:
    """Close stdout with what it still buffers; Python would try to write it again at exit."""
    with suppress(OSError):
        sys.stdout.close()


if __name__ == "__main__":
    main()
