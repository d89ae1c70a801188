"""Chart of the latest scores with the limits that they are compared with, for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from asd_monitor.calibration.score_text import format_score
from asd_monitor.records import Limit, ScoredWindow

BLOCKS = "▁▂▃▄▅▆▇█"
LIMIT_LINE = "┄"
HEADROOM = 1.25
"""The highest limit is drawn below the upper edge by this factor."""
MIN_LABELLED_WIDTH = 34
"""In a narrower chart the limits have no labels, so that scores can be seen."""


def severity(window: ScoredWindow) -> int:
    """Return 0 if no limit is exceeded, 2 for the most urgent one, 1 for the others."""
    verdict, limits = window.decision.verdict, window.decision.limits
    if not verdict.exceeds:
        return 0
    return 2 if not limits or verdict.rule == limits[0].rule else 1


SEVERITY_STYLES = ("green", "yellow", "red")


@dataclass(frozen=True, slots=True)
class TrendChart:
    """Bars of the newest scores that fit into the width, the newest at the right.

    Attributes
    ----------
    windows
        Windows in order of time; those without a score are gaps.
    rows
        Height in lines.
    """

    windows: Sequence[ScoredWindow]
    rows: int

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths between which it can be drawn."""
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one line per row."""
        if not self.windows:
            return
        limits = self.windows[-1].decision.limits
        labels = {limit: f" {format_score(limit.value)} {limit.name}" for limit in limits}
        widest = max(map(len, labels.values()), default=0)
        width = options.max_width - widest
        if width < MIN_LABELLED_WIDTH - widest:
            labels, width = {}, options.max_width
        shown = self.windows[-width:]
        low, high = _value_range(shown, limits)
        lines = _place_limits(limits, low, high, self.rows)
        for row in reversed(range(self.rows)):
            limit = lines.get(row)
            text = Text(no_wrap=True, overflow="crop")
            padding = width - len(shown)
            empty = " " if limit is None else LIMIT_LINE
            text.append(empty * padding, style="dim")
            for window in shown:
                eighths = _eighths(window.score.value, low, high, self.rows) - 8 * row
                if eighths <= 0:
                    text.append(empty, style="dim")
                else:
                    style = SEVERITY_STYLES[severity(window)]
                    text.append(BLOCKS[min(eighths, 8) - 1], style=style)
            if limit is not None:
                text.append(labels.get(limit, ""), style="dim")
            yield text


def _value_range(windows: Sequence[ScoredWindow], limits: Sequence[Limit]) -> tuple[float, float]:
    """Return the scores at the lower and upper edge of the chart."""
    values = [window.score.value for window in windows if window.score.value is not None]
    levels = [limit.value for limit in limits]
    low = min([*values, *levels], default=0.0)
    highest = max(levels) if levels else max(values, default=1.0)
    span = highest - low
    if span <= 0:
        span = abs(highest) or 1.0
    return low - 0.02 * span, low + HEADROOM * span


def _eighths(value: float | None, low: float, high: float, rows: int) -> int:
    """Return the height of a bar in eighths of a row, at least one; 0 without a score."""
    if value is None:
        return 0
    return min(max(int((value - low) / (high - low) * 8 * rows), 1), 8 * rows)


def _place_limits(limits: Sequence[Limit], low: float, high: float, rows: int) -> dict[int, Limit]:
    """Return the row of each limit's line; limits close to each other get neighbouring rows."""
    placed: dict[int, Limit] = {}
    for limit in sorted(limits, key=lambda limit: limit.value):
        row = min(int((limit.value - low) / (high - low) * rows), rows - 1)
        while row in placed and row < rows - 1:
            row += 1
        placed.setdefault(row, limit)
    return placed
