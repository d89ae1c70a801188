"""``asd-monitor forget``: delete what was recorded of a machine."""

from datetime import datetime
from typing import Annotated

import typer

from asd_monitor.commands.judging_options import MachineArgument
from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state, find_stored_machine


def forget(
    machine: MachineArgument,
    before: Annotated[
        datetime | None,
        typer.Option(
            "--before",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"],
            help="Only what is older than this date, in local time. By default all.",
        ),
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="Delete the models of the machine, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Delete what was recorded of a machine: recordings, clips, and its rows of the databases.

    What is deleted is listed first. The monitor of the machine must be stopped. The log of what
    people did is kept, and so are backups and files outside the state folder, such as a score file.

    Example: `asd-monitor forget pump --before 2026-11-01`
    """
    from asd_monitor.runtime.forget import find_remembered
    from asd_monitor.runtime.forget import forget as delete

    state = find_state(state_dir, config)
    machine = find_stored_machine(state, config, machine)
    before_s = float("inf") if before is None else before.timestamp()
    with state.lock(machine):
        found = find_remembered(state, machine, before_s, models=models)
        for path in found.paths:
            typer.echo(path)
        if not found.paths and not found.rows:
            older = "" if before is None else f" from before {before:%Y-%m-%d %H:%M}"
            typer.echo(f"nothing{older} is stored of {machine}", err=True)
            return
        size_mb = found.size_bytes / 1e6
        text = (
            f"{len(found.paths)} paths ({size_mb:.1f} MB), {found.rows} rows of history and outbox"
        )
        if not yes and not typer.confirm(f"Delete {text}?", err=True):
            typer.echo("Nothing was deleted.", err=True)
            return
        delete(state, found)
    typer.echo(f"deleted {text}", err=True)
