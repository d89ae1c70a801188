"""``asd-monitor shelve``: send no notifications about a machine for a time."""

from typing import Annotated

import typer

from asd_monitor.commands.judging_options import (
    MachineArgument,
    Who,
    make_author,
    open_store,
    print_outcome,
)
from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile


def shelve(
    machine: MachineArgument,
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="For this long, such as `1h`, `8h` or `2d`. By default 8 h.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Until then, such as `2026-11-30T14:00`.",
            show_default=False,
        ),
    ] = None,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="Reason, which others are shown.")
    ] = "",
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="The machine is in maintenance.")
    ] = False,
    who: Who = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Send no notifications about a machine for a time; it is monitored as before.

    It ends by itself, or with `asd-monitor unshelve`.

    Example: `asd-monitor shelve pump --for 8h --why "bearing is being changed" --maintenance`
    """  # fmt: skip
    from asd_monitor.errors import ConfigError
    from asd_monitor.history.records import NoteKind
    from asd_monitor.judging import actions
    from asd_monitor.terminal.durations import parse_duration, parse_moment

    if duration is not None and until is not None:
        raise ConfigError("--for and --until are both given; give one")
    store = open_store(state_dir, config)
    now = store.clock()
    end_s = now + parse_duration(duration or "8h") if until is None else parse_moment(until, now)
    kind = NoteKind.MAINTENANCE if maintenance else NoteKind.SHELVE
    print_outcome(actions.shelve(store, make_author(who), machine, end_s, why, kind))
