"""``asd-monitor notify``: try the addresses of notifications."""

from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.errors import ConfigError, SinkError


def notify(
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to each address of the settings.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", readable=False, help="Configuration file of the monitor."
        ),
    ] = None,
) -> None:
    """Send a test message to each address under `notify:`, and say which accepted it.

    Example: `asd-monitor notify --test --config plant.yaml`
    """
    from asd_monitor.config import load
    from asd_monitor.sinks.notify.message import Message
    from asd_monitor.sinks.notify.settings import Kind, NotifySettings
    from asd_monitor.sinks.notify.sink import make_targets

    if not test:
        raise ConfigError("nothing to do: give --test")
    if config is None:
        raise ConfigError("--config is missing: name the file that has notify:")
    settings = load(config)
    notify_settings = settings.sink_settings(NotifySettings)
    if notify_settings is None:
        raise ConfigError(f"{config}: expected notify: with the addresses in `to`, found none")
    machines = ", ".join(settings.display_names.values())
    body = f"This is a test of the monitor {settings.node}, which listens to {machines}."
    message = Message(Kind.RECOVERED, "Test of asd-monitor", body)
    targets = make_targets(notify_settings)
    failed = []
    for target in targets:
        accepted = target.send(message)
        typer.echo(f"{target.name}: {'accepted' if accepted else 'NOT accepted'}")
        failed += [] if accepted else [target.name]
    if failed:
        msg = (
            f"{len(failed)} of {len(targets)} addresses did not accept the message: check host, "
            "user and password in them, and whether this computer reaches the service"
        )
        raise SinkError(msg)
