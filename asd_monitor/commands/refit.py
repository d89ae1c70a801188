"""``asd-monitor refit``: learn a machine again with recordings confirmed as normal."""

from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.judging_options import (
    MachineArgument,
    Who,
    make_author,
    print_outcome,
)
from asd_monitor.commands.options import AsJson, StateDir, TrustedKeys
from asd_monitor.commands.state_options import (
    ConfigFile,
    find_state,
    find_stored_machine,
    load_config,
)
from asd_monitor.storage.private import keep_private
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.judging.proposal import Proposal


def refit(
    machine: MachineArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Use the new model without asking.")] = False,
    propose: Annotated[
        bool, typer.Option("--propose", help="Only learn and compare; it can be accepted later.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Use the model again that was replaced last.")
    ] = False,
    trusted_key: TrustedKeys = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Learn a machine again with the recordings that were confirmed as normal sound.

    The new model is compared with the one in use: threshold, normal range, and what each finds in
    the clips of the events that were judged. It is used only after you agree; a running monitor
    then changes to it within two seconds. The old model is kept.

    Example: `asd-monitor refit pump`
    """
    from asd_monitor.errors import ConfigError
    from asd_monitor.judging import proposal
    from asd_monitor.judging.store import JudgingStore

    keep_private()
    state = find_state(state_dir, config)
    machine = find_stored_machine(state, config, machine)
    store, author = JudgingStore(state.root), make_author(who)
    if undo:
        if yes or propose:
            raise ConfigError("--undo is given together with --yes or --propose; give one")
        print_outcome(proposal.undo(store, author, machine))
        return
    from asd_monitor.model_file.runtimes import require_torch
    from asd_monitor.runtime.refit import propose_refit
    from asd_monitor.terminal.progress import console_progress

    require_torch("refit")
    lower_priority()
    settings = None if config is None else load_config(config)
    alarm = None if settings is None else settings.alarm_of(machine)
    keys = trusted_key or (() if settings is None else settings.models.trusted_keys)
    with console_progress(quiet=as_json) as progress:
        found = propose_refit(state, machine, alarm=alarm, trusted_keys=keys, progress=progress)
    print_proposal(found, as_json=as_json)
    if propose:
        return
    if not yes and not typer.confirm(f"Monitor {machine} with the new model?", err=True):
        typer.echo("Nothing was changed.", err=True)
        return
    outcome = proposal.accept(store, author, machine)
    typer.echo(wrap(outcome.message), err=as_json)


def lower_priority() -> None:
    """Let a monitor on this computer go first."""
    import os

    os.nice(10)


def print_proposal(found: "Proposal", *, as_json: bool) -> None:
    """Print the comparison of the two models."""
    import json
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps(asdict(found) | {"summary": found.summary}, allow_nan=False))
        return
    from rich.table import Table

    from asd_monitor.terminal.tables import fold_columns, stdout_console

    for line in found.summary:
        typer.echo(wrap(line))
    if found.events:
        table = Table("event", "judged", "found now", "found then", box=None, pad_edge=False)
        for event in found.events:
            table.add_row(event.event_id, event.verdict, event.before, event.after)
        stdout_console().print(fold_columns(table))
