"""Pictures of a training run: loss, and AUC where test labels exist, by epoch.

The AUC is for looking at. Nothing is ever chosen by it: the last epoch is what is exported.
"""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from asd_offline.training.run_folder import Run


def draw_curves(run: Run) -> None:
    """Write ``loss.png`` and, where there is any AUC, ``auc.png`` into the run's folder."""
    losses: dict[str, list[tuple[int, float]]] = defaultdict(list)
    aucs: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for each in run.metrics():
        if "loss" in each:
            losses[each["network"]].append((each["epoch"], each["loss"]))
        for target, value in each.get("auc", {}).items():
            aucs[target].append((each["epoch"], value))
    if losses:
        run.write("loss.png", _picture(losses, "training loss", "log"))
    if aucs:
        title = "AUC on the test clips (for looking at; nothing is chosen by it)"
        run.write("auc.png", _picture(aucs, title, "linear"))


def _picture(lines: dict[str, list[tuple[int, float]]], title: str, scale: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes: Any = FigureCanvasAgg(figure).figure.add_subplot()
    for name, points in lines.items():
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, label=name, marker="." if len(points) < 30 else None)
    if scale == "log" and _positive(lines):
        axes.set_yscale("log")
    axes.set(title=title, xlabel="epoch")
    axes.grid(alpha=0.3)
    if len(lines) <= 12:
        axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _positive(lines: dict[str, list[tuple[int, float]]]) -> bool:
    values: Sequence[float] = [value for points in lines.values() for _, value in points]
    return min(values) > 0
