"""Plot the loss, and the AUC on labelled test clips, of a training run by epoch.

The AUC is informative only: nothing is selected by it, and the last epoch is exported.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

from asd_offline.training.run_folder import Run

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Points ``(epoch, value)`` by the name of a curve."""

MAX_MARKED_POINTS = 30
MAX_LEGEND_ENTRIES = 12


def draw_curves(run: Run) -> None:
    """Write ``loss.png`` and, if there are any AUCs, ``auc.png`` into the run's folder."""
    losses: dict[str, list[tuple[int, float]]] = defaultdict(list)
    aucs: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in run.metrics():
        if "loss" in line:
            losses[line["network"]].append((line["epoch"], line["loss"]))
        for target, value in line.get("auc", {}).items():
            aucs[target].append((line["epoch"], value))
    if losses:
        run.write("loss.png", _plot(losses, "training loss", logarithmic=True))
    if aucs:
        title = "AUC on the test clips (informative; nothing is selected by it)"
        run.write("auc.png", _plot(aucs, title, logarithmic=False))


def _plot(curves: Curves, title: str, *, logarithmic: bool) -> bytes:
    """Return a PNG; a logarithmic axis needs positive values."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter, MaxNLocator

    figure = Figure(figsize=(7, 4))
    figure.subplots_adjust(left=0.1, right=0.97, top=0.91, bottom=0.12)
    axes = figure.add_subplot()
    for name, points in curves.items():
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, label=name, marker="." if len(points) < MAX_MARKED_POINTS else "")
    if logarithmic and min(value for points in curves.values() for _, value in points) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlabel="epoch")
    axes.grid(alpha=0.3)
    if len(curves) <= MAX_LEGEND_ENTRIES:
        axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
