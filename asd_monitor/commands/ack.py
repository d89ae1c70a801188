"""``asd-monitor ack``: acknowledge events."""

from typing import Annotated

import typer

from asd_monitor.commands.judging_options import (
    Comment,
    Who,
    make_author,
    open_store,
    print_outcome,
)
from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile


def ack(
    event: Annotated[
        str | None,
        typer.Argument(
            metavar="[EVENT]", help="Id of the event; see `asd-monitor events`.", show_default=False
        ),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", metavar="NAME", help="Acknowledge all events of this machine."),
    ] = None,
    comment: Comment = "",
    who: Who = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Acknowledge an event, or all of a machine: someone has taken notice of it.

    Notifications about it stop. The state of the machine is measured as before. A running monitor
    shows it within two seconds.

    Example: `asd-monitor ack --machine pump --comment "on my way"`
    """  # fmt: skip
    from asd_monitor.errors import ConfigError
    from asd_monitor.judging import actions

    if (event is None) == (machine is None):
        raise ConfigError("expected either an event or --machine NAME; see `asd-monitor events`")
    store, author = open_store(state_dir, config), make_author(who)
    if event is not None:
        print_outcome(actions.acknowledge(store, author, event, comment))
    elif machine is not None:
        print_outcome(actions.acknowledge_machine(store, author, machine, comment))
