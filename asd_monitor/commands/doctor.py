"""``asd-monitor doctor``: what keeps the monitor from working here?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Device, StateDir
from asd_monitor.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from asd_monitor.doctor.context import Case
    from asd_monitor.doctor.finding import Finding
    from asd_monitor.doctor.runner import Step

MACHINE = "machine"


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", readable=False, help="Check what this configuration asks for (YAML)."
        ),
    ] = None,
    mic: Annotated[
        str | None,
        typer.Option("--mic", help="Microphone, as for `run`; the default one if left out."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model file to load, verify and time.")
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option("--mqtt", help="Broker as HOST or HOST:PORT, or `off`.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="Prometheus endpoint as PORT or ADDRESS:PORT, or `off`."),
    ] = None,
    state_dir: StateDir = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Check everything that the monitor needs: sound, model, broker, port, disk, clock.

    Nothing is changed; the microphone is opened for two seconds, and one message is published.
    The exit code is 0 if nothing failed, else that of the first failure: 1 computer or clock,
    2 configuration, 3 model or GPU, 4 microphone or recordings, 6 broker or port, 7 state folder.

    Example: `asd-monitor doctor --mic 0 --model pump.asd --mqtt broker.example:1883`
    """
    given = {
        "mqtt": mqtt, "metrics": metrics, "state_dir": state_dir, "device": device, "model": model,
    }  # fmt: skip
    if config is not None and (mic is not None or model is not None):
        raise ConfigError("--config names microphones and models; leave out --mic and --model, "
                          "or leave out --config")  # fmt: skip
    case = _case(config, mic, given)
    findings = _examine(case, as_json)
    _finish(findings, as_json)


def _case(config: Path | None, mic: str | None, given: dict[str, Any]) -> "Case":

    from asd_monitor.commands.run import settings_of
    from asd_monitor.doctor.context import Case

    machine: dict[str, Any] = {"mic": "default" if mic is None else mic}
    settings = settings_of(config, {MACHINE: machine}, given)
    return Case(
        settings,
        default_microphone=config is None and mic is None,
        broker_given=config is not None or given["mqtt"] is not None,
    )


def _examine(case: "Case", as_json: bool) -> "list[Finding]":
    import logging

    from rich.console import Console

    from asd_monitor.doctor.runner import examine, plan

    steps = plan(case)
    console = Console()
    logging.disable(logging.CRITICAL)  # what is worth knowing is told as a finding
    try:
        if as_json:
            return list(examine(steps))
        if console.is_terminal:
            return _with_spinner(console, steps)
        return _line_by_line(steps)
    finally:
        logging.disable(logging.NOTSET)


def _with_spinner(console: "Console", steps: "list[Step]") -> "list[Finding]":
    from asd_monitor.doctor.report import as_table
    from asd_monitor.doctor.runner import examine

    findings: list[Finding] = []
    with console.status("") as status:
        for step in steps:
            status.update(f"checking {step.name} ...")
            findings += examine([step])
    console.print(as_table(findings))
    return findings


def _line_by_line(steps: "list[Step]") -> "list[Finding]":
    from asd_monitor.doctor.report import as_lines
    from asd_monitor.doctor.runner import examine

    findings: list[Finding] = []
    for finding in examine(steps):
        findings.append(finding)
        typer.echo("\n".join(as_lines(finding)))
    return findings


def _finish(findings: "list[Finding]", as_json: bool) -> None:
    import json

    from asd_monitor.doctor.report import as_document, closing_line
    from asd_monitor.doctor.runner import exit_code

    if as_json:
        typer.echo(json.dumps(as_document(findings), allow_nan=False))
    else:
        typer.echo(closing_line(findings))
    raise typer.Exit(exit_code(findings))
