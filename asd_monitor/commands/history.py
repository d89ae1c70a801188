"""``asd-monitor history``: the scores and states of a machine over hours, days or months."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, StateDir
from asd_monitor.commands.state_options import (
    ConfigFile,
    Since,
    Until,
    choose_machine,
    open_history,
)
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.history.records import MinuteRow

WINDOW = "window"
MAX_ROWS = 32
LENGTHS_S = (
    60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_592_000, 7_776_000,
)  # fmt: skip
"""Lengths of the rows of the table."""


def history(
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine", metavar="NAME", help="The machine; may be left out if there is only one."
        ),
    ] = None,
    since: Since = "24h",
    until: Until = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="LENGTH",
            help="Length of a row, such as `1m`, `1h` or `1d`; or `window`: a row for each score. "
            "By default fitted to the time.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    as_json: AsJson = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the scores, their limits and the states to this file (PNG, SVG or PDF).",
        ),
    ] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Show the scores and states of a machine over hours, days or months.

    Reads the history in the state folder, whether or not a monitor is running. Times are those of
    this computer's zone; in JSON and CSV they are in UTC.

    Example: `asd-monitor history --machine pump --since 7d`
    """
    import sys

    from asd_monitor.history import export

    if plot is not None:
        from asd_monitor.commands.offline_extra import require_offline

        require_offline("history --plot", ["matplotlib"])
    reader = open_history(state_dir, config)
    name = choose_machine(reader, machine)
    from_s, to_s = _parse_times(since, until, reader.last_score_s(name))
    if plot is not None:
        from asd_monitor.commands.history_plot import plot_history

        plot_history(reader, name, from_s, to_s, plot)
        typer.echo(f"wrote {plot}", err=True)
    elif by == WINDOW:
        scores = [export.score_to_dict(row) for row in reader.scores(name, from_s, to_s)]
        if as_json:
            _print_json(reader, name, from_s, to_s, scores)
        else:
            export.write_csv(scores, export.SCORE_COLUMNS, sys.stdout)
    else:
        rows = _read_rows(reader, name, from_s, to_s, by)
        modes = _read_modes(reader, name, rows)
        if as_json or as_csv:
            dicts = list(map(export.minute_to_dict, rows, modes))
        if as_json:
            _print_json(reader, name, from_s, to_s, dicts)
        elif as_csv:
            export.write_csv(dicts, export.MINUTE_COLUMNS, sys.stdout)
        else:
            _print_table(reader, name, from_s, to_s, rows, modes)


def _parse_times(since: str, until: str | None, last_s: float | None) -> tuple[float, float]:
    """Return the time to show; without an end, up to now and to the newest score."""
    import time

    from asd_monitor.errors import ConfigError
    from asd_monitor.terminal.durations import parse_moment

    now_s = time.time()
    from_s = parse_moment(since, now_s)
    newest_s = max(now_s, (last_s or now_s) + 0.001)  # recordings may be ahead of the clock
    to_s = newest_s if until is None else parse_moment(until, now_s)
    if to_s <= from_s:
        msg = f"expected --until after --since, found --since {since} and --until {until or 'now'}"
        raise ConfigError(msg)
    return from_s, to_s


def _read_rows(
    reader: "HistoryReader", machine: str, from_s: float, to_s: float, by: str | None
) -> "list[MinuteRow]":
    length_s = _choose_length_s(to_s - from_s, by)
    start_s = _round_down_locally(from_s, length_s)
    return reader.trend(machine, start_s, to_s, length_s)


def _read_modes(reader: "HistoryReader", machine: str, rows: "list[MinuteRow]") -> list[str]:
    """Return the mode in which the machine was longest in each row; empty where none is known."""
    from asd_monitor.history.times import longest_modes

    if not rows:
        return []
    end_s = rows[-1].start_s + rows[-1].length_s
    spans = reader.mode_spans(machine, rows[0].start_s, end_s, limit=1_000_000)
    return longest_modes(spans, [row.start_s for row in rows], end_s)


def _choose_length_s(span_s: float, by: str | None) -> float:
    """Return the length of a row: as given, or so that the table fits a screen."""
    from asd_monitor.errors import ConfigError
    from asd_monitor.terminal.durations import parse_duration

    if by is None:
        fitting = (length_s for length_s in LENGTHS_S if span_s / length_s <= MAX_ROWS)
        return float(next(fitting, LENGTHS_S[-1]))
    length_s = parse_duration(by)
    if length_s % 60 or (length_s > 3600 and length_s % 3600):
        msg = f"--by: expected whole minutes up to 1h, whole hours, or `{WINDOW}`, found {by!r}"
        raise ConfigError(msg)
    return length_s


def _round_down_locally(at_s: float, length_s: float) -> float:
    """Return the beginning of a row, so that rows of a day begin at midnight on the clock here."""
    import time

    offset_s = time.localtime(at_s).tm_gmtoff or 0
    return (at_s + offset_s) // length_s * length_s - offset_s


def _print_json(
    reader: "HistoryReader",
    machine: str,
    from_s: float,
    to_s: float,
    rows: list[dict[str, Any]],
) -> None:
    import json

    from asd_monitor.history import export

    seconds = reader.time_in_state(machine, from_s, to_s)
    events = reader.events(machine, from_s=from_s, to_s=to_s)
    document = {
        "machine": machine,
        "from": export.format_utc(from_s),
        "to": export.format_utc(to_s),
        "time_in_state_s": {str(state): round(value, 3) for state, value in seconds.items()},
        "time_in_mode_s": {
            mode: round(value, 3)
            for mode, value in reader.time_in_mode(machine, from_s, to_s).items()
        },
        "events": [export.event_to_dict(event) for event in events],
        "rows": rows,
    }
    typer.echo(json.dumps(document, allow_nan=False))


def _print_table(
    reader: "HistoryReader",
    machine: str,
    from_s: float,
    to_s: float,
    rows: "list[MinuteRow]",
    modes: list[str],
) -> None:
    from asd_monitor.commands.history_table import describe_modes, describe_states, make_table
    from asd_monitor.terminal.durations import format_duration, format_local_time
    from asd_monitor.terminal.tables import stdout_console

    begin, end = format_local_time(from_s), format_local_time(to_s)
    name = reader.display_names()[machine]
    title = machine if name == machine else f"{name} ({machine})"
    typer.echo(wrap(f"{title}, {begin} to {end} ({format_duration(to_s - from_s)})"))
    typer.echo(wrap(describe_states(reader, machine, from_s, to_s)))
    if text := describe_modes(reader.time_in_mode(machine, from_s, to_s)):
        typer.echo(wrap(text))
    if rows:
        stdout_console().print(make_table(rows, modes))
    else:
        last_s = reader.last_score_s(machine)
        newest = "none at all" if last_s is None else f"the newest one: {format_local_time(last_s)}"
        typer.echo(f"no scores in this time; {newest}")
