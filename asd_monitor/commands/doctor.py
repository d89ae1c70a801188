"""``asd-monitor doctor``: diagnose why the monitor does not work on this computer."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Device, DeviceOption, StateDir, TrustedKeys
from asd_monitor.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from asd_monitor.doctor.context import Context
    from asd_monitor.doctor.finding import Finding
    from asd_monitor.doctor.runner import Check

MACHINE = "machine"


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            readable=False,
            help="Check what this configuration file (YAML) needs.",
        ),
    ] = None,
    mic: Annotated[
        str | None,
        typer.Option(
            "--mic",
            metavar="MIC",
            help="Microphone to check, as for `run`. By default the system's default one.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="Model file to load, verify and time."),
    ] = None,
    trusted_key: TrustedKeys = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="BROKER",
            help="MQTT broker to check, as HOST or HOST:PORT, or `off`. By default the "
            "configuration's.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="ENDPOINT",
            help="Prometheus endpoint to check, as PORT or ADDRESS:PORT, or `off`.",
        ),
    ] = None,
    connect_notify: Annotated[
        bool,
        typer.Option(
            "--connect-notify",
            help="Also connect to the HTTP servers among the addresses of notifications; nothing "
            "is sent.",
        ),
    ] = False,
    state_dir: StateDir = None,
    device: DeviceOption = Device.AUTO,
    as_json: AsJson = False,
) -> None:
    """Check everything that the monitor needs: sound, model, broker, addresses, port, disk, clock.

    Nothing is changed; the microphone is opened for two seconds, and one message is published.
    The addresses of notifications are read and checked, and nothing is sent to them.
    The exit code is 0 if no check failed, and otherwise that of the first failure: 1 computer or
    clock, 2 configuration, 3 model or GPU, 4 microphone or recordings, 6 broker, address or
    port, 7 state folder.

    Example: `asd-monitor doctor --mic 0 --model pump.asd --mqtt broker.example:1883`
    """
    options = {
        "mqtt": mqtt, "metrics": metrics, "state_dir": state_dir, "device": device, "model": model,
        "trusted_key": trusted_key,
    }  # fmt: skip
    if config is not None and (mic is not None or model is not None):
        raise ConfigError("--config names microphones and models; leave out --mic and --model, "
                          "or leave out --config")  # fmt: skip
    context = replace(make_context(config, mic, options), connects_to_notify=connect_notify)
    findings = _run_checks(context, as_json)
    _print_and_exit(findings, as_json)


def make_context(config: Path | None, mic: str | None, options: dict[str, Any]) -> "Context":
    """Return the settings to check: those of a configuration file, or of the options."""
    from asd_monitor.commands.run import load_settings
    from asd_monitor.doctor.context import Context

    machine: dict[str, Any] = {"mic": "default" if mic is None else mic}
    return Context(
        load_settings(config, {MACHINE: machine}, options),
        uses_default_microphone=config is None and mic is None,
    )


def _run_checks(context: "Context", as_json: bool) -> "list[Finding]":
    import logging

    from asd_monitor.doctor.runner import list_checks, run_checks
    from asd_monitor.terminal.safe_console import SafeConsole

    checks = list_checks(context)
    console = SafeConsole()
    logging.disable(logging.CRITICAL)  # the findings report everything of interest
    try:
        if as_json:
            return list(run_checks(checks))
        if console.is_terminal:
            return _run_with_spinner(console, checks)
        return _run_line_by_line(checks)
    finally:
        logging.disable(logging.NOTSET)


def _run_with_spinner(console: "Console", checks: "list[Check]") -> "list[Finding]":
    from asd_monitor.doctor.report import format_table
    from asd_monitor.doctor.runner import run_checks

    findings: list[Finding] = []
    with console.status("") as status:
        for check in checks:
            status.update(f"checking {check.name} ...")
            findings += run_checks([check])
    console.print(format_table(findings))
    return findings


def _run_line_by_line(checks: "list[Check]") -> "list[Finding]":
    from asd_monitor.doctor.report import format_lines
    from asd_monitor.doctor.runner import run_checks

    findings: list[Finding] = []
    for finding in run_checks(checks):
        findings.append(finding)
        typer.echo("\n".join(format_lines(finding)))
    return findings


def _print_and_exit(findings: "list[Finding]", as_json: bool) -> None:
    import json

    from asd_monitor.doctor.report import format_summary, to_dict
    from asd_monitor.doctor.runner import exit_code

    if as_json:
        typer.echo(json.dumps(to_dict(findings), allow_nan=False))
    else:
        typer.echo(format_summary(findings))
    raise typer.Exit(exit_code(findings))
