"""``asd-monitor check``: validate a configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.options import AsJson


def check(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", readable=False, help="The configuration file (YAML) to check."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check a configuration file without starting anything.

    Reports every error with file, line and key, and then ends with exit code 2.

    Example: `asd-monitor check configs/monitor.yaml`
    """
    import json

    from asd_monitor.config import load

    settings = load(config)
    if as_json:
        typer.echo(json.dumps(settings.model_dump(mode="json")))
        return
    typer.echo(f"{config}: no errors; {len(settings.machines)} machine(s)")
    for name, machine in settings.machines.items():
        typer.echo(f"  {name}: {machine.source.description}")
