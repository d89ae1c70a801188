"""Charts of a comparison: AUC by machine with every seed, and AUC against cost."""

import math
from collections.abc import Sequence
from itertools import product

from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import Comparison, SeedValues
from asd_offline.comparison.table import auc_names
from asd_offline.html.svg import Plot, round_ticks

CSS_CLASSES = {"auc": "whole", "auc_source": "source", "auc_target": "target"}
ROW_PX, AXIS_PX = 22, 44
LETTER_PX = 6.0
"""Approximate width of a letter."""
LINE_PX = 11


def draw_machine(comparison: Comparison, machine: str) -> str:
    """Draw the AUC of each model on a machine: a dot for each seed and a line at their mean."""
    metrics = [
        name
        for name in auc_names(comparison)
        if any((machine, name) in model.metrics for model in comparison.models)
    ]
    models = [
        model
        for model in reversed(comparison.models)
        if any((machine, name) in model.metrics for name in metrics)
    ]
    if not models:
        return ""
    row_px = ROW_PX + 8 * (len(metrics) - 1)
    plot = Plot(
        _auc_range(comparison),
        (-0.5, len(models) - 0.5),
        width=470,
        height=AXIS_PX + row_px * len(models),
        left=20 + round(LETTER_PX * max(len(model.candidate.name) for model in models)),
        label=f"AUC of each model on {machine}",
    )
    for index in range(1, len(models), 2):
        plot.add_box(plot.x, (index - 0.5, index + 0.5), "band")
    plot.add_line([0.5, 0.5], [-0.5, len(models) - 0.5], "chance")
    offsets = (0.0,) if len(metrics) == 1 else (0.22, -0.22)
    for index, model in enumerate(models):
        for offset, name in zip(offsets, metrics, strict=True):
            seeds = model.metrics.get((machine, name))
            if seeds is None:
                continue
            y = index + offset
            for value in seeds.values:
                plot.add_dot(value, y, f"seed {CSS_CLASSES[name]}")
            plot.add_line([seeds.mean] * 2, [y - 0.2, y + 0.2], CSS_CLASSES[name])
    names = [(float(index), model.candidate.name) for index, model in enumerate(models)]
    plot.add_axes(round_ticks(*plot.x), names, "AUC")
    return plot.to_svg()


def draw_cost(comparison: Comparison) -> str:
    """Draw mean AUC over all machines against milliseconds per window, on a logarithmic axis."""
    points = [
        (math.log10(model.cost.milliseconds), model.metrics[OVERALL, "auc"], model.candidate.name)
        for model in comparison.models
        if model.cost is not None and (OVERALL, "auc") in model.metrics
    ]
    if len(points) < 2:
        return ""
    xs = [x for x, _, _ in points]
    low, high = math.floor(min(xs) - 0.05), math.ceil(max(xs) + 0.05)
    plot = Plot(
        (low, high + 0.1),
        _auc_range(comparison),
        width=720,
        height=380,
        left=50,
        label="Mean AUC of each model against milliseconds per window",
    )
    plot.add_line(plot.x, [0.5, 0.5], "chance")
    for x, seeds, _ in points:
        if seeds.spread:
            plot.add_line([x, x], [seeds.mean - seeds.spread, seeds.mean + seeds.spread], "whole")
        plot.add_dot(x, seeds.mean, "whole")
    _add_names(plot, points)
    ticks = [(float(n), f"{10.0**n:g}") for n in range(low, high + 1)]
    plot.add_axes(ticks, round_ticks(*plot.y), "ms per window on one core", "mean AUC")
    return plot.to_svg()


def _auc_range(comparison: Comparison) -> tuple[float, float]:
    """Return round limits that hold every AUC and chance, the same for all charts of a page."""
    values = [
        value
        for model in comparison.models
        for (_, name), seeds in model.metrics.items()
        if name in CSS_CLASSES
        for value in seeds.values
    ]
    low = math.floor(10 * min(*values, 0.5) - 0.2) / 10
    return max(0.0, low), 1.0


def _add_names(plot: Plot, points: Sequence[tuple[float, SeedValues, str]]) -> None:
    """Write the name of each point next to it, at the nearest position that is free."""
    dots = [(plot.to_px_x(x), plot.to_px_y(seeds.mean)) for x, seeds, _ in points]
    taken = [(x - 6, x + 6, y + 4) for x, y in dots]  # left, right, baseline
    for (dot_x, dot_y), (_, _, name) in zip(dots, points, strict=True):
        width = LETTER_PX * len(name)
        for line, side in product((0, 1, -1, 2, -2, 3, -3, 4), (1, -1)):
            left = dot_x + 8 if side > 0 else dot_x - 8 - width
            baseline = dot_y + 4 + line * LINE_PX
            inside = plot.left <= left and left + width < plot.width - 4
            if inside and not any(
                left < taken_right
                and taken_left < left + width
                and abs(baseline - taken_baseline) < LINE_PX
                for taken_left, taken_right, taken_baseline in taken
            ):
                break
        taken.append((left, left + width, baseline))
        if side > 0:
            plot.add_text_px(left, baseline, name)
        else:
            plot.add_text_px(left + width, baseline, name, "end")
