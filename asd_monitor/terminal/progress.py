"""Display progress on stderr: bars on a terminal, occasional lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from asd_monitor.progress import NoProgress, Progress
from asd_monitor.terminal.durations import format_rough_duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


LINE_INTERVAL_S = 10.0
"""Without a terminal, a stage prints at most one line in this time, and one when it is done."""


class PlainProgress:
    """Print progress as plain lines.

    Parameters
    ----------
    stream
        Where the lines go.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._stage, self._detail = "", ""
        self._started_s = self._printed_s = 0.0
        self._started_at = 0.0

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Print a line if the last one is old enough or the stage is done."""
        now_s = self._clock()
        if stage != self._stage:
            self._stage, self._detail = stage, ""
            self._started_s = self._printed_s = now_s
            self._started_at = done
        self._detail = detail or self._detail
        finished = done >= total
        if not finished and now_s - self._printed_s < LINE_INTERVAL_S:
            return
        self._printed_s = now_s
        percent = 100 * done / total if total else 100.0
        parts = [f"{stage}: {percent:.0f} %", self._detail]
        advanced = done - self._started_at
        if not finished and advanced > 0.05 * total:
            left_s = (now_s - self._started_s) * (total - done) / advanced
            parts.append(f"about {format_rough_duration(left_s)} left")
        self.message(", ".join(filter(None, parts)))

    def message(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)


class RichProgress:
    """Draw one bar per stage."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Move the stage's bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, detail="")
        task = self._tasks[stage]
        self._bars.update(task, completed=done, total=total)
        if detail:
            self._bars.update(task, detail=detail)

    def message(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, soft_wrap=True, markup=False)


@contextmanager
def console_progress(*, quiet: bool = False, in_bytes: bool = False) -> Iterator[Progress]:
    """Display progress on stderr while the block runs.

    Parameters
    ----------
    quiet
        Display nothing.
    in_bytes
        Units are bytes: display sizes and the transfer rate.
    """
    if quiet:
        yield NoProgress()
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    from asd_monitor.terminal.safe_console import SafeConsole

    console = SafeConsole(stderr=True, highlight=False)
    if not console.is_terminal:
        yield PlainProgress(sys.stderr)
        return
    amount = (
        (DownloadColumn(), TransferSpeedColumn())
        if in_bytes
        else (TextColumn("{task.percentage:>3.0f} %"),)
    )
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *amount,
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Bars(*columns, console=console, transient=not in_bytes) as bars:
        yield RichProgress(bars)
