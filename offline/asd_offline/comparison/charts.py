"""The plots of a comparison: AUC by machine with every seed, and AUC against cost."""

import math
from collections.abc import Sequence
from itertools import product

from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import Cell, Comparison, Row
from asd_offline.comparison.table import auc_names
from asd_offline.html.svg import Plot, round_ticks

KINDS = {"auc": "whole", "auc_source": "source", "auc_target": "target"}
ROW_PX, NAMES_PX, AXIS_PX = 22, 172, 44
LETTER_PX = 5.8
"""Width of a letter of the plots' text, about."""


def machine_chart(comparison: Comparison, machine: str) -> str:
    """Return the AUC of each model: a point for each seed and a line at their mean."""
    figures = [name for name in auc_names(comparison) if _has(comparison, machine, name)]
    rows = [row for row in comparison.rows if any((machine, name) in row.cells for name in figures)]
    if not rows:
        return ""
    row_px = ROW_PX + 8 * (len(figures) - 1)
    plot = Plot(
        _range(comparison),
        (-0.5, len(rows) - 0.5),
        width=470,
        height=AXIS_PX + row_px * len(rows),
        left=NAMES_PX,
        label=f"AUC of each model on {machine}",
    )
    for place in range(1, len(rows), 2):
        plot.box(plot.x, (place - 0.5, place + 0.5), "band")
    plot.line([0.5, 0.5], [-0.5, len(rows) - 0.5], "chance")
    for place, row in enumerate(reversed(rows)):
        for offset, name in zip(_offsets(len(figures)), figures, strict=True):
            cell = row.cells.get((machine, name))
            if cell is None:
                continue
            height = place + offset
            for value in cell.values:
                plot.dot(value, height, f"seed {KINDS[name]}")
            plot.line([cell.mean] * 2, [height - 0.2, height + 0.2], KINDS[name])
    labels = [(float(n), row.entry.model) for n, row in enumerate(reversed(rows))]
    plot.axes(round_ticks(*plot.x), labels, "AUC")
    return plot.svg()


def cost_chart(comparison: Comparison) -> str:
    """Return mean AUC over all machines against the cost of a window, which is logarithmic."""
    points = [
        (math.log10(row.speed.milliseconds), cell, row.entry.model)
        for row in comparison.rows
        if row.speed is not None and (cell := _overall(row)) is not None
    ]
    if len(points) < 2:
        return ""
    xs = [x for x, _, _ in points]
    low, high = math.floor(min(xs) - 0.05), math.ceil(max(xs) + 0.05)
    plot = Plot(
        (low, high + 0.1),
        _range(comparison),
        width=720,
        height=380,
        left=50,
        label="Mean AUC of each model against its milliseconds per window",
    )
    plot.line(plot.x, [0.5, 0.5], "chance")
    for x, cell, _ in points:
        if cell.spread:
            plot.line([x, x], [cell.mean - cell.spread, cell.mean + cell.spread], "whole")
        plot.dot(x, cell.mean, "whole")
    for x, y, text, anchor in _labels(plot, points):
        plot.note(x, y, text, anchor)
    ticks = [(float(n), f"{10.0**n:g}") for n in range(low, high + 1)]
    plot.axes(ticks, round_ticks(*plot.y), "ms per window on one core", "mean AUC")
    return plot.svg()


def _overall(row: Row) -> Cell | None:
    return row.cells.get((OVERALL, "auc"))


def _has(comparison: Comparison, machine: str, name: str) -> bool:
    return any((machine, name) in row.cells for row in comparison.rows)


def _offsets(count: int) -> Sequence[float]:
    return (0.0,) if count == 1 else (0.22, -0.22)


def _range(comparison: Comparison) -> tuple[float, float]:
    """Return round limits that hold every AUC and chance, the same for all plots of a page."""
    cells = [
        cell for row in comparison.rows for (_, name), cell in row.cells.items() if name in KINDS
    ]
    values = [value for cell in cells for value in cell.values]
    low = math.floor(10 * min(*values, 0.5) - 0.2) / 10
    return max(0.0, low), 1.0


def _labels(
    plot: Plot, points: Sequence[tuple[float, Cell, str]]
) -> list[tuple[float, float, str, str]]:
    """Return where the names go: beside their points, else as near as nothing is in the way."""
    dots = [(plot.px(x), plot.py(cell.mean)) for x, cell, _ in points]
    taken = [(x - 6, x + 6, y + 4) for x, y in dots]
    found = []
    for (at, height), (_, _, name) in zip(dots, points, strict=True):
        width = LETTER_PX * len(name)
        for away, side in product((0, 11, -11, 22, -22, 33, -33, 44), (1, -1)):
            left = at + 8 if side > 0 else at - 8 - width
            baseline = height + 4 + away
            inside = plot.left <= left and left + width < plot.width - 4
            if inside and not any(
                left < right and other < left + width and abs(baseline - line) < 11
                for other, right, line in taken
            ):
                break
        taken.append((left, left + width, baseline))
        anchor, start = ("start", left) if side > 0 else ("end", left + width)
        found.append((_back_x(plot, start), _back_y(plot, baseline), name, anchor))
    return found


def _back_x(plot: Plot, px: float) -> float:
    low, high = plot.px(plot.x[0]), plot.px(plot.x[1])
    return plot.x[0] + (px - low) / (high - low) * (plot.x[1] - plot.x[0])


def _back_y(plot: Plot, py: float) -> float:
    low, high = plot.py(plot.y[0]), plot.py(plot.y[1])
    return plot.y[0] + (py - low) / (high - low) * (plot.y[1] - plot.y[0])
