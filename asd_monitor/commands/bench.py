"""``asd-monitor bench``: measure the speed of the monitor on this computer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, TrustedKeys, parse_host_and_port

if TYPE_CHECKING:
    from rich.table import Table


def bench(
    area: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AREA",
            help="What to measure: latency, cpu, capacity, memory, recordings, startup, history, "
            "outbox, web. By default all.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short runs, to test the benchmark itself.")
    ] = False,
    mic: Annotated[
        str | None,
        typer.Option(
            "--mic", metavar="MIC", help="Microphone to measure with, instead of recordings."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="FILE",
            help="Model file to measure with, for 16 kHz or more. By default a new quick-start "
            "model.",
        ),
    ] = None,
    trusted_key: TrustedKeys = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="BROKER",
            help="MQTT broker as HOST or HOST:PORT. By default an embedded one.",
        ),
    ] = None,
    sample_rate_hz: Annotated[
        int,
        typer.Option(
            "--sample-rate-hz",
            metavar="HZ",
            min=8000,
            max=192_000,
            help="Sample rate of the sound and of the new model, for example 48000.",
        ),
    ] = 16_000,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            resolve_path=True,
            help="Checkout of another version: the area capacity then compares the two, in turns, "
            "with 64 machines with a model each.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=2,
            max=32,
            help="The area capacity compares scoring with N threads and with one, in turns, with "
            "1, 64 and 256 machines with a model each.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency, processor time, capacity, memory and start-up time of the monitor.

    The benchmark generates a sound, fits a quick-start model to it, and runs the real
    `asd-monitor run` on recordings in real time. All areas together take about 25 minutes;
    close other programs first.

    Example: `asd-monitor bench latency cpu`
    """
    from asd_monitor.model_file.runtimes import require_torch

    require_torch("bench")
    import json

    from asd_monitor.bench.context import Broker
    from asd_monitor.bench.run import BenchOptions, run_bench

    if model is not None:
        from asd_monitor.model_file import LoadPolicy, verify

        verify(model, LoadPolicy.of_user(trusted_key or ()))
    broker = None if mqtt is None else Broker(*parse_host_and_port(mqtt))
    options = BenchOptions(area or (), quick, mic, model, broker, sample_rate_hz, against, workers)
    result = run_bench(options, lambda text: typer.echo(f"bench: {text}", err=True))
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    from asd_monitor.terminal.tables import stdout_console

    computer = result["computer"]
    console = stdout_console()
    console.print(
        f"{computer['cpu']}, {computer['processors']} processors, {computer['memory_gb']} GB, "
        f"Python {computer['python']}, torch {computer['torch']}, asd-monitor {result['version']}",
        soft_wrap=True,
    )
    console.print(_make_table(result))


def _make_table(result: dict[str, Any]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from asd_monitor.terminal.tables import fold_columns

    table = Table("area", "measurement", "", "target", "", "load", box=None, pad_edge=False)
    table.columns[2].justify = table.columns[3].justify = "right"
    verdicts = {True: Text("met", "green"), False: Text("missed", "bold red"), None: Text("")}
    area = ""
    for measurement in result["measurements"]:
        is_first = measurement["area"] != area
        area = measurement["area"]
        table.add_row(
            area if is_first else "",
            measurement["description"],
            f"{measurement['value']:.4g} {measurement['unit']}".strip(),
            _format_target(measurement),
            verdicts[measurement["met"]],
            str(result["load"][area]) if is_first else "",
        )
    return fold_columns(table)


def _format_target(measurement: dict[str, Any]) -> str:
    if measurement["at_most"] is not None:
        return f"≤ {measurement['at_most']:.4g}"
    return f"≥ {measurement['at_least']:.4g}" if measurement["at_least"] is not None else ""
