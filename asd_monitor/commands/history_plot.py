"""The plot of ``asd-monitor history``."""

import io
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.errors import ConfigError
from asd_monitor.records import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.history.records import MinuteRow, StateSpan

WIDTH_IN, HEIGHT_IN, DPI = 11.0, 5.0, 120
MAX_POINTS = 700
FORMATS = (".png", ".svg", ".pdf")
COLOURS = {
    State.NORMAL: "#3a8f5c",
    State.OFF: "#c9d3cc",
    State.LEARNING: "#3f7fbf",
    State.UNKNOWN: "#9a9a9a",
    State.WARNING: "#e0a100",
    State.ALARM: "#c8372d",
}


def plot_history(
    reader: "HistoryReader", machine: str, from_s: float, to_s: float, path: Path
) -> None:
    """Draw the scores of a machine with their limits, and below them its states.

    Parameters
    ----------
    reader
        The history.
    machine
        Name of the machine.
    from_s, to_s
        The time to draw, in seconds since the epoch.
    path
        File to write; its suffix is its format.

    Raises
    ------
    ConfigError
        If the format is not known.
    """
    from matplotlib.figure import Figure

    from asd_monitor.model_file.archive import write_atomically

    if path.suffix.lower() not in FORMATS:
        msg = f"--plot {path}: expected a name that ends with {', '.join(FORMATS)}"
        raise ConfigError(msg)
    rows = reader.minutes(machine, from_s, to_s, MAX_POINTS)
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    scores, states = figure.subplots(2, 1, sharex=True, height_ratios=[12, 1])
    _draw_scores(scores, rows)
    _draw_states(states, reader.spans(machine, from_s, to_s), from_s, to_s)
    scores.set_title(machine)
    states.xaxis_date()
    _format_dates(states)
    states.set_xlim(_local(from_s), _local(to_s))
    write_atomically(path, _render(figure, path.suffix.lower().removeprefix(".")))


def _draw_scores(axes: "Axes", rows: "list[MinuteRow]") -> None:
    nan = float("nan")
    times = [_local(row.start_s) for row in rows]

    def values(name: str) -> list[float]:
        found = (getattr(row, name) for row in rows)
        return [nan if value is None else value for value in found]

    lowest, highest = values("lowest"), values("highest")
    axes.fill_between(
        times, lowest, highest, step="post", color="#8fb4d8", label="lowest to highest"
    )
    axes.step(times, values("median"), where="post", color="#1f4e79", label="median score")
    axes.step(times, values("threshold"), where="post", color="#c8372d", label="threshold")
    axes.step(
        times, values("normal_range"), "--", where="post", color="#e0a100", label="normal range"
    )
    axes.set_ylabel("anomaly score")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", ncols=4, fontsize="small")


def _draw_states(axes: "Axes", spans: "list[StateSpan]", from_s: float, to_s: float) -> None:
    drawn = set[State]()
    for span in spans:
        begin_s = max(span.from_s, from_s)
        end_s = to_s if span.to_s is None else min(span.to_s, to_s)
        label = None if span.state in drawn else str(span.state)
        drawn.add(span.state)
        axes.axvspan(_local(begin_s), _local(end_s), color=COLOURS[span.state], lw=0, label=label)
    axes.set_yticks([])
    axes.set_ylabel("state", rotation=0, ha="right", va="center")
    if drawn:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.9), ncols=5, fontsize="small")


def _format_dates(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _local(at_s: float) -> float:
    """Return a time as matplotlib counts it, in the zone of this computer."""
    from matplotlib.dates import date2num

    return float(date2num(datetime.fromtimestamp(at_s)))  # type: ignore[no-untyped-call]


def _render(figure: "Figure", file_format: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format)
    return buffer.getvalue()
