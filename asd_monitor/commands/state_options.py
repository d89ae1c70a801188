"""Options that name the state folder, for commands that read what a monitor has stored."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.errors import ConfigError
from asd_monitor.unicode_names import find_id, list_names

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
    """Return the id of the machine of the option, or of the only one that has a history.

    Raises
    ------
    ConfigError
        If it has no history, or none is named and there are several.
    """
    known = reader.display_names()
    if machine is None and len(known) == 1:
        return next(iter(known))
    if machine is None:
        raise ConfigError(f"--machine is missing; machines with a history: {list_names(known)}")
    if (found := find_id(machine, known)) is not None:
        return found
    msg = f"--machine {machine}: it has no history in {reader.path}; machines that do: "
    raise ConfigError(msg + list_names(known))


def find_stored_machine(state: "StateFolder", config: Path | None, machine: str) -> str:
    """Return the id of a machine of which anything is stored, given its id or its display name.

    Parameters
    ----------
    state
        The state folder.
    config
        Configuration file, whose machines are known too; None if there is none.
    machine
        An id or a display name.

    Raises
    ------
    ConfigError
        If there is no such machine.
    """
    from asd_monitor.history.database import FILE_NAME
    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.runtime.forget import find_machines

    known = {name: name for name in find_machines(state)}
    path = state.root / FILE_NAME
    if path.exists():
        known |= HistoryReader(path).display_names()
    if config is not None:
        known |= load_config(config).display_names
    found = find_id(machine, known)
    if found is None:
        msg = f"machine {machine!r}: nothing is stored of it in {state.root}; known machines: "
        raise ConfigError(msg + list_names(known))
    return found
