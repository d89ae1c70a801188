"""``asd-monitor modes``: list the modes of a machine, and name them."""

from typing import Annotated

import typer

from asd_monitor.commands.judging_options import MachineArgument, Who, make_author, print_outcome
from asd_monitor.commands.options import AsJson, StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state, find_stored_machine
from asd_monitor.storage.private import keep_private


def modes(
    machine: MachineArgument,
    rename: Annotated[
        tuple[str, str] | None,
        typer.Option("--rename", metavar="OLD NEW", help="Give a mode another name."),
    ] = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """List the modes of a machine, such as idle and its loads, or give one another name.

    Modes are found in the normal sound that was learned. Their first names are guesses from their
    levels.

    Example: `asd-monitor modes pump --rename "running 1" "pump 1 alone"`
    """
    import json

    from asd_monitor.judging.mode_names import list_modes
    from asd_monitor.judging.mode_names import rename as rename_mode
    from asd_monitor.judging.store import JudgingStore
    from asd_monitor.terminal.tables import fold_columns, stdout_console

    keep_private()
    state = find_state(state_dir, config)
    machine = find_stored_machine(state, config, machine)
    if rename is not None:
        print_outcome(rename_mode(JudgingStore(state.root), make_author(who), machine, *rename))
        return
    found = list_modes(state.root, machine)
    if as_json:
        rows = [
            {"name": mode.name, "level_dbfs": mode.level_dbfs, "learned_s": 10 * mode.blocks}
            for mode in found.modes
        ]
        typer.echo(json.dumps(rows))
        return
    from rich.table import Table

    table = Table("mode", "level", "learned", box=None, pad_edge=False)
    for mode in found.modes:
        minutes = f"{mode.blocks / 6:.1f} min"
        table.add_row(mode.name, f"{mode.level_dbfs:.0f} dBFS", minutes)
    stdout_console().print(fold_columns(table))
