"""Options that name the state folder, for commands that read what a monitor has stored."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.errors import ConfigError

if TYPE_CHECKING:
    from asd_monitor.config import Config
    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.runtime.state_dir import StateFolder

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        readable=False,
        help="Configuration file of the monitor, which may name its state folder.",
    ),
]
Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Begin this long ago, such as `90m`, `24h` or `7d`, or at a date such as "
        "`2026-11-30` or `2026-11-30T14:00`.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="End then; like `--since`. By default now."),
]


def find_state(state_dir: Path | None, config: Path | None) -> "StateFolder":
    """Return the state folder of the options: that of the configuration, unless one is named."""
    from asd_monitor.runtime.state_dir import StateFolder

    if state_dir is None and config is not None:
        state_dir = load_config(config).state_dir
    return StateFolder.locate(state_dir, os.environ)


def load_config(path: Path) -> "Config":
    """Read a configuration file."""
    from asd_monitor.config import load

    return load(path)


def open_history(state_dir: Path | None, config: Path | None) -> "HistoryReader":
    """Return a reader of the history in the state folder.

    Raises
    ------
    StateError
        If there is none, or it cannot be read.
    """
    from asd_monitor.history.database import FILE_NAME
    from asd_monitor.history.reader import HistoryReader

    reader = HistoryReader(find_state(state_dir, config).root / FILE_NAME)
    reader.machines()  # fails now if the history cannot be read
    return reader


def choose_machine(reader: "HistoryReader", machine: str | None) -> str:
    """Return the machine of the option, or the only one that has a history.

    Raises
    ------
    ConfigError
        If it has no history, or none is named and there are several.
    """
    known = reader.machines()
    if machine is None and len(known) == 1:
        return known[0]
    if machine in known:
        assert machine is not None  # noqa: S101 - known has names only
        return machine
    names = ", ".join(known) or "none"
    if machine is None:
        msg = f"--machine is missing; machines with a history: {names}"
    else:
        msg = f"--machine {machine}: it has no history in {reader.path}; machines that do: {names}"
    raise ConfigError(msg)
