"""``asd-monitor mqtt``: remove what a monitor has published for Home Assistant."""

from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.options import Device
from asd_monitor.errors import ConfigError


def mqtt(
    remove_discovery: Annotated[
        bool,
        typer.Option(
            "--remove-discovery",
            help="Remove the devices of this monitor from Home Assistant.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", readable=False, help="Configuration file of the monitor."
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option("--mqtt", metavar="BROKER", help="MQTT broker as HOST or HOST:PORT."),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NAME",
            help="Name of the monitor in MQTT topics. By default the configuration's, or the "
            "host's name.",
        ),
    ] = None,
) -> None:
    """Remove what a monitor has published for Home Assistant.

    First set `home_assistant: off` in the configuration and restart the monitor; otherwise it
    publishes the devices again.

    Example: `asd-monitor mqtt --remove-discovery --config plant.yaml`
    """
    from asd_monitor.commands.run import load_settings
    from asd_monitor.sinks.mqtt.remove_discovery import remove_discovery as remove
    from asd_monitor.sinks.mqtt.settings import MqttSettings

    if not remove_discovery:
        raise ConfigError("nothing to do: give --remove-discovery")
    options = {"device": Device.AUTO, "mqtt": broker, "node": node, "metrics": None}
    settings = load_settings(config, {"machine": {"mic": "default"}}, options)
    mqtt_settings = settings.sink_settings(MqttSettings)
    if mqtt_settings is None:
        raise ConfigError("no broker is named: give --mqtt, or a --config that has mqtt:")
    removed = remove(mqtt_settings, settings.node)
    for name in removed:
        typer.echo(f"removed {name}")
    if not removed:
        typer.echo(f"Home Assistant has no device of {settings.node}")
