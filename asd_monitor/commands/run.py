"""``asd-monitor run``: listen, score, publish, raise and clear alarms."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import (
    AsJson,
    Channel,
    Device,
    Fast,
    Machines,
    Mics,
    StateDir,
    Wavs,
    host_and_port,
    machine_sections,
)
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.runtime.signals import stop_signals

if TYPE_CHECKING:
    from asd_monitor.config import Config

MQTT_PORT = 1883


def run(
    mic: Mics = None,
    machine: Machines = None,
    wav: Wavs = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", readable=False, help="Settings for any number of machines (YAML)."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Model file; else the one that commissioning wrote."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Which target of the model file it is.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after so many seconds.")
    ] = None,
    learn: Annotated[
        bool,
        typer.Option("--learn/--no-learn", help="Learn a machine that has no model, or refuse."),
    ] = True,
    learn_minutes: Annotated[
        float | None, typer.Option("--learn-minutes", help="How much normal sound to learn from.")
    ] = None,
    fast: Fast = False,
    channel: Channel = 0,
    mqtt: Annotated[
        str | None,
        typer.Option("--mqtt", help="Broker as HOST or HOST:PORT, or `off`.", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="Prometheus endpoint as PORT or ADDRESS:PORT, or `off`."),
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", help="Name of this monitor in MQTT topics.")
    ] = None,
    state_dir: StateDir = None,
    device: Device = "auto",
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines in place of the live view.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Listen to machines, score every window, publish, and raise alarms.

    A machine without a model is learned first (commissioning): its normal sound is recorded,
    a model is fitted and kept, and monitoring begins. The next start finds the model.

    Example: `asd-monitor run --mic 0 --machine pump`
    """
    given = {
        "model": model, "target": target, "mqtt": mqtt, "metrics": metrics, "node": node,
        "state_dir": state_dir, "device": device, "learn": learn, "learn_minutes": learn_minutes,
    }  # fmt: skip
    if config is not None:
        if mic or wav or machine or model or target:
            raise ConfigError("--config names the machines; leave out --mic, --wav, --machine, "
                              "--model and --target, or leave out --config")  # fmt: skip
        sections = {}
    else:
        # `--target fan/id_00` says which machine it is as well.
        names = machine or ([target.partition("/")[0]] if target else None)
        sections = machine_sections(mic, wav, names, channel=channel, fast=fast)
    if model is not None and not model.exists():
        raise ModelFileError(f"{model}: there is no such model file")
    with stop_signals() as stop:
        from asd_monitor.runtime.runs import run_monitor

        settings = settings_of(config, sections, given)
        run_monitor(settings, stop, duration_s=duration, live_view=not plain, as_json=as_json)


def settings_of(
    config: Path | None, sections: dict[str, dict[str, Any]], given: dict[str, Any]
) -> "Config":
    """Return the settings of a file, or of sections by machine, with the options given on top.

    Raises
    ------
    ConfigError
        For every mistake in them.
    """
    return _from_options(sections, given) if config is None else _with_options(config, given)


def _from_options(sections: dict[str, dict[str, Any]], given: dict[str, Any]) -> "Config":
    from asd_monitor.config import from_options

    for section in sections.values():
        section |= {key: given[key] for key in ("model", "target") if given.get(key) is not None}
    return from_options({"machines": sections} | _overrides(given, {}))


def _with_options(path: Path, given: dict[str, Any]) -> "Config":
    """Read a configuration file; options of the command line win over it."""
    from dataclasses import replace

    from asd_monitor import settings_file
    from asd_monitor.config import from_document

    document = settings_file.read(path)
    values = document.values | _overrides(given, document.values)
    return from_document(replace(document, values=values))


def _overrides(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return what the options set, in the shape of the configuration file."""
    values: dict[str, Any] = {}
    if given["device"] != "auto":
        values["device"] = given["device"]
    for key in ("node", "state_dir"):
        if given.get(key) is not None:
            values[key] = str(given[key])
    learn = dict(before.get("learn") or {})
    if not given.get("learn", True):
        learn["enabled"] = False
    if given.get("learn_minutes") is not None:
        learn["minutes"] = given["learn_minutes"]
    if learn:
        values["learn"] = learn
    if given["mqtt"] is not None:
        values["mqtt"] = _mqtt(given["mqtt"], before.get("mqtt") or {})
    if given["metrics"] is not None:
        values["prometheus"] = _prometheus(given["metrics"], before.get("prometheus") or {})
    return values


def _mqtt(option: str, before: dict[str, Any]) -> dict[str, Any] | None:
    if option == "off":
        return None
    host, port = host_and_port(option, before.get("port", MQTT_PORT))
    return before | {"host": host, "port": port}


def _prometheus(option: str, before: dict[str, Any]) -> dict[str, Any] | None:
    if option == "off":
        return None
    address, _, port = option.rpartition(":")
    if not port.isdecimal():
        raise ConfigError(f"--metrics: expected a port number, found {option!r}")
    section = before | {"port": int(port)}
    return section | {"address": address.strip("[]")} if address else section
