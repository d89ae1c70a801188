"""``asd-monitor check``: validate a configuration file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson
from asd_monitor.errors import ModelFileError
from asd_monitor.terminal.escape import on_one_line

if TYPE_CHECKING:
    from asd_monitor.config import Config


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

    Reports every error with file, line and key, and then ends with exit code 2. Of each
    microphone it shows which device it is on this computer now. Model files are verified without
    running them; one that cannot be used ends with exit code 3.

    Example: `asd-monitor check configs/monitor.yaml`
    """
    import json

    from asd_monitor.config import load
    from asd_monitor.sinks.mqtt.settings import MqttSettings

    settings = load(config)
    origins = dict[Path, str]()
    problems = _check_models(settings, origins)
    if as_json:
        typer.echo(json.dumps(settings.model_dump(mode="json")))
    else:
        _print(config, settings, problems)
        for path, origin in origins.items():
            typer.echo(on_one_line(f"  {path}: {origin}"))
    mqtt = settings.sink_settings(MqttSettings)
    if mqtt is not None:
        for text in filter(None, (mqtt.describe_risk(), mqtt.find_missing_package())):
            typer.echo(f"warning: {on_one_line(text)}", err=True)
    if problems:
        raise ModelFileError("\n".join(f"{name}: {text}" for name, text in problems.items()))


def _print(path: Path, settings: "Config", problems: dict[str, str]) -> None:
    found = "no errors" if not problems else "no errors in the settings, but in model files"
    typer.echo(f"{path}: {found}; {len(settings.machines)} machine(s)")
    microphones = _describe_microphones(settings)
    for name, machine in settings.machines.items():
        typer.echo(on_one_line(f"  {name}: {microphones.get(name, machine.source.description)}"))


def _check_models(config: "Config", origins: dict[Path, str]) -> dict[str, str]:
    """Return what is wrong with the model file of each machine; nothing in them is run.

    Who signed each file that is good is added to ``origins``.
    """
    import os

    from asd_monitor.model_file import LoadPolicy, verify
    from asd_monitor.runtime.state_dir import StateFolder

    state, problems = StateFolder.locate(config.state_dir, os.environ), dict[str, str]()
    policy = LoadPolicy.of_state(state.root, config.models.trusted_keys)
    for machine, settings in config.machines.items():
        path = settings.model or state.model_path(machine)
        if settings.model is None and not path.exists():
            continue  # learned first
        try:
            verified = verify(path, policy)
            origins[path] = verified.origin
            if settings.target not in (None, *verified.manifest.targets):
                msg = f"{path}: has no target {settings.target!r}; `asd-monitor inspect` lists them"
                raise ModelFileError(msg)
        except ModelFileError as error:
            problems[machine] = str(error)
    return problems


def _describe_microphones(config: "Config") -> dict[str, str]:
    """Return what the microphone of each machine is now, or why it cannot be used."""
    import os

    from asd_monitor.errors import SourceError
    from asd_monitor.runtime import microphones
    from asd_monitor.runtime.state_dir import StateFolder
    from asd_monitor.sources.microphone.devices import list_microphones

    settings = microphones.microphone_settings(config)
    if not settings:
        return {}
    try:
        present = list_microphones()
    except SourceError as error:
        return {
            machine: f"{source.description} (not looked for: {error})"
            for machine, source in settings.items()
        }
    state = StateFolder.locate(config.state_dir, os.environ)
    return microphones.describe_uses(config, state, present)
