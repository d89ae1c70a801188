"""``asd-monitor run``: monitor machines and raise and clear alarms."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import (
    MQTT_PORT,
    NOTHING_TO_MONITOR,
    AcceptMicrophone,
    AsJson,
    Channel,
    Device,
    DeviceOption,
    Fast,
    Machines,
    Mics,
    Plain,
    RuntimeChoice,
    RuntimeOption,
    SampleRate,
    StateDir,
    TrustedKeys,
    Wavs,
    make_machine_sections,
    parse_host_and_port,
)
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.runtime.signals import stop_signals
from asd_monitor.runtime.start_backoff import StartBackoff
from asd_monitor.settings_file import is_off
from asd_monitor.storage.private import keep_private
from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.json_log import LogFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from asd_monitor.config import Config
    from asd_monitor.runtime.page_settings import PageSettings
    from asd_monitor.runtime.runs import Reloading
    from asd_monitor.settings_file import Document


def run(
    mic: Mics = None,
    machine: Machines = None,
    wav: Wavs = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            readable=False,
            help="Configuration file (YAML) with any number of machines. Other options override "
            "its values.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="FILE",
            help="Model file. By default the one that was learned for the machine.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="NAME",
            help="Target of the model file that the machine is, such as `fan/id_00`. By default "
            "the one with the machine's name, or the only one.",
        ),
    ] = None,
    trusted_key: TrustedKeys = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=0,
            help="Stop after this many seconds. By default never.",
        ),
    ] = None,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn/--no-learn",
            help="Learn a machine that has no model, or end with an error (exit code 3).",
        ),
    ] = True,
    learn_minutes: Annotated[
        float | None,
        typer.Option(
            "--learn-minutes",
            metavar="MINUTES",
            help="Minutes of normal sound to learn from. By default 5.",
        ),
    ] = None,
    sample_rate_hz: SampleRate = None,
    fast: Fast = False,
    channel: Channel = 0,
    accept_microphone: AcceptMicrophone = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="BROKER",
            help="MQTT broker as HOST or HOST:PORT, or `off`. By default the configuration's; "
            "without one nothing is published over MQTT.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="ENDPOINT",
            help="Prometheus endpoint as PORT or ADDRESS:PORT, or `off`. By default the "
            "configuration's, or 127.0.0.1:9109.",
        ),
    ] = None,
    web: Annotated[
        str | None,
        typer.Option(
            "--web",
            metavar="ENDPOINT",
            help="Web page as PORT or ADDRESS:PORT, or `off`. By default the configuration's, or "
            "127.0.0.1:9110.",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NAME",
            help="Name of this monitor in MQTT topics. By default the host's name.",
        ),
    ] = None,
    state_dir: StateDir = None,
    device: DeviceOption = Device.AUTO,
    runtime: RuntimeOption = RuntimeChoice.AUTO,
    plain: Plain = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            "--log-format",
            help="Write the log for people, or as one JSON object per line. By default the "
            "configuration's, or text.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Monitor machines: score every window of sound, publish the scores, and raise alarms.

    A machine without a model is learned first (commissioning): its normal sound is recorded, a
    model is fitted and stored, and monitoring begins. The next start finds the model.

    Without a machine and a configuration, a machine is set up on the web page.

    Example: `asd-monitor run --mic 0 --machine pump`
    """
    options = {
        "model": model, "target": target, "mqtt": mqtt, "metrics": metrics, "web": web,
        "node": node, "state_dir": state_dir, "device": device, "runtime": runtime,
        "learn": learn,
        "learn_minutes": learn_minutes, "sample_rate_hz": sample_rate_hz,
        "trusted_key": trusted_key,
    }  # fmt: skip
    if config is not None:
        if mic or wav or machine or model or target:
            raise ConfigError("--config names the machines; leave out --mic, --wav, --machine, "
                              "--model and --target, or leave out --config")  # fmt: skip
        sections: dict[str, dict[str, Any]] = {}
    elif not (mic or wav or machine or model or target):
        sections = {}  # those of the web page, or none yet
    else:
        # `--target fan/id_00` also says that the machine is a fan.
        names = machine or ([target.partition("/")[0]] if target else None)
        sections = make_machine_sections(mic, wav, names, channel=channel, fast=fast)
    if model is not None and not model.exists():
        raise ModelFileError(f"{model}: there is no such model file")
    if log_format is not None:
        logging_setup.choose_format(log_format)
    backoff = StartBackoff.from_environment(os.environ)
    keep_private()
    hangup = threading.Event()
    with stop_signals(reload=hangup) as stop, backoff.around_start(stop):
        from asd_monitor import config as monitor_config
        from asd_monitor.doctor.while_running import RunningDiagnosis
        from asd_monitor.runtime.microphones import accept_microphones
        from asd_monitor.runtime.page_settings import PageSettings
        from asd_monitor.runtime.runs import find_read_files, run_monitor
        from asd_monitor.runtime.state_dir import StateFolder

        if stop.is_set():  # during the wait before another start
            return
        backoff.watch([config] if config is not None else [])
        document = load_document(config, sections, options)
        state = StateFolder.locate(monitor_config.from_part(document).state_dir, os.environ)
        pages = PageSettings(document, state, with_machines=not sections)
        backoff.watch([pages.path])

        def load(base: "Document") -> "Config":
            settings = pages.load(base)
            if not settings.machines and settings.web is None:
                raise ConfigError(NOTHING_TO_MONITOR)
            return accept_microphones(settings, accept_microphone or ())

        settings = load(document)
        chosen = log_format or _log_format_of(settings)
        logging_setup.choose_format(chosen)
        backoff.watch(find_read_files(settings))
        run_monitor(
            settings,
            stop,
            page_settings=pages,
            diagnosis=RunningDiagnosis(settings, state.root, config),
            reloading=_make_reloading(
                hangup, lambda: load_document(config, sections, options), load, pages, log_format
            ),
            duration_s=duration,
            live_view=not plain and chosen is LogFormat.TEXT,
            as_json=as_json,
        )


def _make_reloading(
    hangup: threading.Event,
    read: "Callable[[], Document]",
    load: "Callable[[Document], Config]",
    pages: "PageSettings",
    log_format: LogFormat | None,
) -> "Reloading":
    """Return how a run reads its configuration again, and lets the web page change the new one."""
    from asd_monitor.runtime.runs import Reloading

    newest: list[Document] = []

    def read_again() -> "Config":
        newest[:] = [read()]
        return load(newest[0])

    def accept(settings: "Config") -> None:
        pages.use(newest[0])
        logging_setup.choose_format(log_format or _log_format_of(settings))

    return Reloading(hangup, read_again, accept)


def _log_format_of(settings: "Config") -> LogFormat:
    from asd_monitor.sinks.log import LogSettings

    section = settings.sink_settings(LogSettings)
    return LogFormat.TEXT if section is None else section.format


def load_settings(
    config: Path | None, sections: dict[str, dict[str, Any]], options: dict[str, Any]
) -> "Config":
    """Return the settings of a configuration file, or of sections, overridden by options.

    Parameters
    ----------
    config
        The configuration file; None: use ``sections``.
    sections
        Settings of each machine.
    options
        Values of the command line's options by name; None where an option is not given.

    Raises
    ------
    ConfigError
        If they are not valid; the message reports all errors.
    """
    from asd_monitor.config import from_document

    return from_document(load_document(config, sections, options))


def load_document(
    config: Path | None, sections: dict[str, dict[str, Any]], options: dict[str, Any]
) -> "Document":
    """Return what :func:`load_settings` validates."""
    from dataclasses import replace

    from asd_monitor import settings_file

    if config is not None:
        document = settings_file.read(config)
        values = document.values | _override(options, document.values)
        return replace(document, values=values)
    machine_options = {
        key: options[key] for key in ("model", "target") if options.get(key) is not None
    }
    machines = {name: section | machine_options for name, section in sections.items()}
    values = {"machines": machines} if machines else {}
    return settings_file.Document("command line", values | _override(options, {}), {})


def _override(options: dict[str, Any], configured: dict[str, Any]) -> dict[str, Any]:
    """Return the sections that options change, in the shape of the configuration file."""
    values: dict[str, Any] = {}
    if options["device"] is not Device.AUTO:
        values["device"] = str(options["device"])
    if options.get("runtime", RuntimeChoice.AUTO) is not RuntimeChoice.AUTO:
        values["runtime"] = str(options["runtime"])
    for key in ("node", "state_dir"):
        if options.get(key) is not None:
            values[key] = str(options[key])
    learn: dict[str, Any] = {}
    if not options.get("learn", True):
        learn["enabled"] = False
    for option, key in (("learn_minutes", "minutes"), ("sample_rate_hz", "sample_rate_hz")):
        if options.get(option) is not None:
            learn[key] = options[option]
    if learn:
        values["learn"] = _section(configured, "learn") | learn
    if options.get("trusted_key"):
        models = {"trusted_keys": options["trusted_key"]}
        values["models"] = _section(configured, "models") | models
    if options["mqtt"] is not None:
        values["mqtt"] = _override_mqtt(options["mqtt"], _section(configured, "mqtt"))
    for option, key in (("metrics", "prometheus"), ("web", "web")):
        if options.get(option) is not None:
            section = _section(configured, key)
            values[key] = _override_endpoint(f"--{option}", options[option], section)
    return values


def _section(configured: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a section that options add to; empty if the file has none, or turns it on or off."""
    section = configured.get(key)
    return section if isinstance(section, dict) else {}


def _override_mqtt(option: str, section: dict[str, Any]) -> dict[str, Any] | None:
    if is_off(option):
        return None
    host, port = parse_host_and_port(option, section.get("port", MQTT_PORT))
    return section | {"host": host, "port": port}


def _override_endpoint(name: str, option: str, section: dict[str, Any]) -> dict[str, Any] | None:
    if is_off(option):
        return None
    address, _, port = option.rpartition(":")
    if not port.isdecimal():
        raise ConfigError(f"{name}: expected a port number, found {option!r}")
    section = section | {"port": int(port)}
    return section | {"address": address.strip("[]")} if address else section
