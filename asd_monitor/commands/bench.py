"""``asd-monitor bench``: how fast is the monitor on this machine?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, host_and_port

if TYPE_CHECKING:
    from rich.table import Table


def bench(
    area: Annotated[
        list[str] | None,
        typer.Argument(help="latency, cpu, capacity, memory, startup; all if left out."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short runs, to see that the benchmark itself works.")
    ] = False,
    mic: Annotated[
        str | None,
        typer.Option("--mic", help="Microphone to measure with, in place of recordings."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Measure with this model file of 16 kHz or more.")
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option("--mqtt", help="Broker as HOST or HOST:PORT; else one inside.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency, processor time, capacity, memory and start of the monitor here.

    It makes its own sound, fits a quick-start model on it, and runs the real `asd-monitor run`
    on recordings at the pace of real time. All areas together take about eight minutes; close
    other programs first.

    Example: `asd-monitor bench latency cpu`
    """
    import json

    from asd_monitor.bench.run import Options, run_bench

    options = Options(area or (), quick, mic, model, _broker(mqtt))
    result = run_bench(options, lambda text: typer.echo(f"bench: {text}", err=True))
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    _print(result)


def _broker(option: str | None) -> Any:  # noqa: ANN401 - imported when it is wanted
    from asd_monitor.bench.context import Broker

    return None if option is None else Broker(*host_and_port(option, 1883))


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console

    computer = result["computer"]
    console = Console()
    console.print(
        f"{computer['cpu']}, {computer['processors']} processors, {computer['memory_gb']} GB, "
        f"Python {computer['python']}, torch {computer['torch']}, asd-monitor {result['version']}",
        highlight=False,
    )
    console.print(_table(result))


def _table(result: dict[str, Any]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("area", "figure", "", "target", "", "load", box=None, pad_edge=False)
    table.columns[2].justify = table.columns[3].justify = "right"
    area = ""
    for figure in result["figures"]:
        first = figure["area"] != area
        area = figure["area"]
        met = {True: Text("met", "green"), False: Text("missed", "bold red"), None: Text("")}
        table.add_row(
            area if first else "",
            figure["told"],
            f"{figure['value']:.4g} {figure['unit']}".strip(),
            _target(figure),
            met[figure["met"]],
            str(result["load"][area]) if first else "",
        )
    return table


def _target(figure: dict[str, Any]) -> str:
    if figure["at_most"] is not None:
        return f"≤ {figure['at_most']:.4g}"
    return f"≥ {figure['at_least']:.4g}" if figure["at_least"] is not None else ""
