"""``asd-monitor demo``: run the whole monitor on a simulated machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.options import AsJson, Plain
from asd_monitor.runtime.signals import stop_signals


def demo(
    duration: Annotated[
        float,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=30,
            help="Seconds of monitoring, after the learning.",
        ),
    ] = 120.0,
    metrics_port: Annotated[
        int,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            help="Port of the Prometheus endpoint; 0 uses a free one.",
        ),
    ] = 0,
    web_port: Annotated[
        int,
        typer.Option("--web-port", metavar="PORT", help="Port of the web page; 0 uses a free one."),
    ] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FOLDER",
            help="Keep the model, the history and the sound of the event in a new folder below "
            "this one. By default they are deleted at the end.",
        ),
    ] = None,
    plain: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Demonstrate the whole monitor on a simulated pump, without a microphone or a broker.

    The sound of the pump is learned in seconds and then monitored in real time: a bearing fails,
    the alarm is raised, the bearing is replaced, and the alarm clears. An MQTT broker, the
    Prometheus endpoint and the web page run inside the program. In a terminal, the page stays open
    at the end until Ctrl-C.

    Example: `asd-monitor demo --duration 180`
    """
    from asd_monitor.model_file.runtimes import require_torch

    require_torch("demo")
    with stop_signals() as stop:
        from asd_monitor.demo.demo import run_demo

        run_demo(
            duration,
            stop,
            metrics_port=metrics_port,
            web_port=web_port,
            keep=keep,
            stays_open=sys.stdin.isatty() and sys.stderr.isatty() and not as_json,
            live_view=not plain,
            as_json=as_json,
        )
