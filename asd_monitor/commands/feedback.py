"""``asd-monitor feedback``: say what an event was."""

from enum import StrEnum
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


class EventVerdict(StrEnum):
    """What an event was."""

    NORMAL = "normal"
    FAULT = "fault"
    UNSURE = "unsure"


def feedback(
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="Id of the event; see `asd-monitor events`.")
    ],
    verdict: Annotated[
        EventVerdict,
        typer.Argument(
            metavar="normal|fault|unsure",
            help="What it was: normal sound (a false alarm), a fault, or not known.",
        ),
    ],
    comment: Comment = "",
    who: Who = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Say what an event was. A later verdict replaces an earlier one.

    The clip of normal sound and of a fault is kept. Nothing is learned by this alone: with three
    recordings confirmed as normal, `asd-monitor refit` can learn from them, and tests the new model
    with the events that were faults.

    Example: `asd-monitor feedback 20261130T120102-pump-3f2a normal --comment "valve test"`
    """  # fmt: skip
    from asd_monitor.history.records import NoteKind
    from asd_monitor.judging import actions

    store = open_store(state_dir, config)
    print_outcome(actions.judge(store, make_author(who), event, NoteKind(verdict), comment))
