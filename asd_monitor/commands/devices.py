"""``asd-monitor devices``: list the microphones."""

from typing import TYPE_CHECKING

import typer

from asd_monitor.commands.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from asd_monitor.sources.microphone.devices import Microphone


def devices(as_json: AsJson = False) -> None:
    """List the microphones: index, name, channels, sampling rates, and a stable id.

    `--mic` accepts the id, a part of the name, or the index. Only the id stays the same when
    microphones are connected in a different order or used by other programs. A microphone that
    another program uses is listed without an index, channels and rates. The exit code is 4 if
    there is none.

    Example: `asd-monitor devices --json`
    """
    import json
    from dataclasses import asdict

    from asd_monitor.errors import SourceError
    from asd_monitor.sources.microphone.devices import NO_MICROPHONE, list_microphones
    from asd_monitor.terminal.tables import stdout_console

    microphones = list_microphones()
    if as_json:
        typer.echo(json.dumps([asdict(microphone) for microphone in microphones]))
    elif microphones:
        stdout_console().print(_make_table(microphones))
    if not microphones:
        raise SourceError(NO_MICROPHONE)


def _make_table(microphones: "list[Microphone]") -> "Table":
    from rich.table import Table

    from asd_monitor.terminal.tables import fold_columns

    table = Table("index", "name", "channels", "rates in Hz", "id", box=None)
    for mic in microphones:
        if mic.unavailable:
            table.add_row("-", f"{mic.name} ({mic.unavailable})", "-", "-", mic.stable_id)
            continue
        rates = ", ".join(
            f"{rate}*" if rate == mic.default_rate_hz else str(rate)
            for rate in mic.rates_hz or (mic.default_rate_hz,)
        )
        name = f"{mic.name} (default)" if mic.is_default else mic.name
        table.add_row(str(mic.index), name, str(mic.channels), rates, mic.stable_id)
    table.caption = "* = the device's own rate"
    return fold_columns(table)
