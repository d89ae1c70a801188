"""``asd-monitor demo``: the whole monitor, with a machine of its own."""

from typing import Annotated

import typer

from asd_monitor.commands.options import AsJson
from asd_monitor.runtime.signals import stop_signals


def demo(
    duration: Annotated[
        float,
        typer.Option("--duration", min=30, help="How long the story lasts, in seconds."),
    ] = 90.0,
    metrics_port: Annotated[
        int,
        typer.Option("--metrics-port", help="Port of the Prometheus endpoint; 0 takes any."),
    ] = 0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines in place of the live view.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the whole monitor on a made-up pump, with nothing else installed.

    The pump's sound is learned in seconds and monitored in real time; a bearing fails, the
    alarm rises, the bearing is replaced, the alarm clears. An MQTT broker and the Prometheus
    endpoint run inside.

    Example: `asd-monitor demo --duration 120`
    """
    with stop_signals() as stop:
        from asd_monitor.demo.demo import run_demo

        run_demo(duration, stop, metrics_port=metrics_port, live_view=not plain, as_json=as_json)
