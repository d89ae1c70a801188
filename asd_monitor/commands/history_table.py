"""The table of ``asd-monitor history``."""

from typing import TYPE_CHECKING

from asd_monitor.calibration.score_text import format_score
from asd_monitor.records import State
from asd_monitor.terminal.durations import format_duration, format_local_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.history.records import MinuteRow

STYLES = {
    State.ALARM: "bold red",
    State.WARNING: "yellow",
    State.UNKNOWN: "magenta",
    State.LEARNING: "cyan",
    State.OFF: "bright_black",
    State.NORMAL: "green",
}
DAY_S = 86_400


def make_table(rows: "list[MinuteRow]", modes: list[str]) -> "Table":
    """Return a table with a line for each span of time.

    Parameters
    ----------
    rows
        The spans.
    modes
        Mode of each span; empty where none is known. Without two there is no such column.
    """
    from rich.table import Table
    from rich.text import Text

    from asd_monitor.terminal.tables import fold_columns

    columns = ("from", "worst state", "median", "highest", "over", "windows", "threshold")
    with_range = any(row.normal_range is not None for row in rows)
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    if with_range:
        table.add_column("normal range")
    table.add_column("level")
    for column in table.columns[2:]:
        column.justify = "right"
    with_modes = len(set(modes) - {""}) > 1
    if with_modes:
        table.add_column("mode")
    for row, mode in zip(rows, modes, strict=True):
        cells = [_format(row.median), _format(row.highest), str(row.over), str(row.windows)]
        cells.append(_format(row.threshold))
        if with_range:
            cells.append("" if row.normal_range is None else f"≤ {_format(row.normal_range)}")
        cells.append("" if row.level_dbfs is None else f"{row.level_dbfs:.0f} dB")
        if with_modes:
            cells.append(mode)
        state = Text(str(row.worst_state), STYLES[row.worst_state])
        table.add_row(_format_start(row), state, *cells)
    fold_columns(table)
    table.columns[0].no_wrap = True
    return table


def describe_states(reader: "HistoryReader", machine: str, from_s: float, to_s: float) -> str:
    """Return how long a machine was in each state, and its number of events, in one line."""
    seconds = reader.time_in_state(machine, from_s, to_s)
    parts = [
        f"{state} {format_duration(seconds[state])}"
        for state in reversed(STYLES)
        if state in seconds
    ]
    first_s = reader.first_monitored_s(machine)
    begin_s = from_s if first_s is None else min(max(first_s, from_s), to_s)
    if begin_s - from_s >= 1:
        parts.append(f"monitored since {format_local_time(begin_s)}")
    unmonitored_s = to_s - begin_s - sum(seconds.values())
    if unmonitored_s >= 1:
        parts.append(f"not monitored {format_duration(unmonitored_s)}")
    events = reader.events(machine, from_s=from_s, to_s=to_s, limit=1_000_000)
    alarms = sum(event.peak_state is State.ALARM for event in events)
    count = f"{len(events)} event{'' if len(events) == 1 else 's'}"
    parts.append(f"{count}, {alarms} with an alarm" if events else "no event")
    return "; ".join(parts)


def describe_modes(seconds: "Mapping[str, float]") -> str:
    """Return how long a machine was in each mode, in one line; empty without several modes."""
    if len(seconds) < 2:
        return ""
    return "modes: " + "; ".join(f"{mode} {format_duration(s)}" for mode, s in seconds.items())


def _format(value: float | None) -> str:
    return "" if value is None else format_score(value)


def _format_start(row: "MinuteRow") -> str:
    text = format_local_time(row.start_s)
    return text.split()[0] if row.length_s >= DAY_S else text
