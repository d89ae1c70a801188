"""``asd-monitor backup``: history, events and models in one file."""

from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Tar file to write; compressed if its name ends with `gz`."
        ),
    ],
    recordings: Annotated[
        bool,
        typer.Option(
            "--recordings", help="Add the recordings of normal sound that were learned from."
        ),
    ] = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Write history, events with their clips, and learned models to one tar file.

    The monitor may be running. To restore: stop the monitor, extract the file into the empty state
    folder (`tar -xf FILE -C FOLDER`), and start it again. Accounts of the web page are not
    included.

    Example: `asd-monitor backup pump-2026-11-30.tar`
    """
    from asd_monitor.history.backup import write_backup

    manifest = write_backup(find_state(state_dir, config).root, file, recordings=recordings)
    size_mb = file.stat().st_size / 1e6
    count = "1 file" if manifest["files"] == 1 else f"{manifest['files']} files"
    typer.echo(f"wrote {file}: {count}, {size_mb:.1f} MB", err=True)
