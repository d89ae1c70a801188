"""Columns of the table, for the terminal, Markdown or the page."""

from dataclasses import dataclass

from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import Comparison, MetricKey, ModelSummary, SeedValues

TITLES = {
    "auc": "AUC",
    "auc_source": "AUC src",
    "auc_target": "AUC tgt",
    "pauc": "pAUC",
    "pauc_source": "pAUC src",
    "pauc_target": "pAUC tgt",
    "score": "score",
}
UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text of one cell."""

    text: str
    best: bool = False
    """Whether the model is clearly ahead in this column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column with a cell for each model."""

    title: str
    cells: tuple[TableCell, ...]
    left: bool = False
    """Whether texts are aligned to the left."""


def machine_columns(comparison: Comparison, metric: str, *, short: bool = True) -> list[Column]:
    """Return a column of a metric for each machine.

    Parameters
    ----------
    comparison
        All models.
    metric
        Name of the metric.
    short
        Leave "AUC" out of the titles.
    """
    title = TITLES[metric]
    if short:
        title = title.removeprefix("AUC").strip()
    return [
        _metric_column(comparison, (machine, metric), f"{machine} {title}".strip())
        for machine in comparison.machines
    ]


def auc_columns_by_machine(comparison: Comparison) -> list[Column]:
    """Return columns of the AUC of each machine and domain; none if there is one machine."""
    if len(comparison.machines) < 2:
        return []
    columns = [machine_columns(comparison, metric) for metric in auc_names(comparison)]
    return [column for group in zip(*columns, strict=True) for column in group]


def auc_names(comparison: Comparison) -> tuple[str, ...]:
    """Return the names of the AUCs to show: those of the domains, or if there are none the AUC."""
    names = comparison.metric_names
    return tuple(name for name in ("auc_source", "auc_target") if name in names) or ("auc",)


def overall_columns(comparison: Comparison) -> list[Column]:
    """Return columns of the metrics over all machines."""
    mean = "" if len(comparison.machines) < 2 else "mean "
    names = [name for name in ("pauc", "score") if name in comparison.metric_names]
    return [
        _metric_column(
            comparison, (OVERALL, name), TITLES[name] if name == "score" else mean + TITLES[name]
        )
        for name in (*auc_names(comparison), *names)
    ]


def cost_columns(comparison: Comparison) -> list[Column]:
    """Return columns of what each model costs."""
    formats = {
        "parameters": _format_parameters,
        "ms/window": _format_milliseconds,
        "window": _format_window,
        "training": _format_training,
    }
    return [
        Column(title, tuple(TableCell(format_cell(model)) for model in comparison.models))
        for title, format_cell in formats.items()
    ]


def model_names(comparison: Comparison) -> tuple[str, ...]:
    """Return the names of the models in the order of the rows."""
    return tuple(model.candidate.name for model in comparison.models)


def remarks(comparison: Comparison) -> list[str]:
    """Return failures and notes of single models."""
    return [
        f"{model.candidate.name}: {remark}"
        for model in comparison.models
        for remark in model.remarks()
    ]


def caption(comparison: Comparison, mark: str = "*") -> list[str]:
    """Return how to read the table, one sentence each.

    Parameters
    ----------
    comparison
        All models.
    mark
        How the table marks a model that is clearly ahead.
    """
    has_spread = any(
        len(seeds.values) > 1 for model in comparison.models for seeds in model.metrics.values()
    )
    sentences = []
    if has_spread:
        sentences.append(
            "Means over seeds ± their standard deviation; without ±: a single run, because the "
            "model is deterministic or only one seed succeeded."
        )
        sentences.append(
            f"{mark}: ahead of every other model by more than the standard deviations of both over "
            "seeds (root of the sum of their squares); for a deterministic model the largest "
            "standard deviation of the others is used."
        )
    elif all(
        seeds.deterministic for model in comparison.models for seeds in model.metrics.values()
    ):
        sentences.append(
            "No value is marked as best: deterministic models have no spread over seeds."
        )
    else:
        sentences.append("No value is marked as best: with a single seed the spread is unknown.")
    if comparison.ci95:
        sentences.append(
            "The spread over seeds does not include the choice of test clips: with this number of "
            f"clips a score is known to ±{comparison.ci95:.3f} (95 %, median of the models)."
        )
    sentences.append(
        "parameters: trained parameters, in the model file of all machines; ms/window: median on "
        "one core of this computer."
    )
    return sentences


def format_seeds(seeds: SeedValues | None) -> str:
    """Return ``0.853 ±0.012``, or the mean alone if there is a single value."""
    if seeds is None:
        return UNKNOWN
    has_spread = len(seeds.values) > 1 and seeds.spread is not None
    return f"{seeds.mean:.3f}" + (f" ±{seeds.spread:.3f}" if has_spread else "")


def pad_cells(column: Column) -> list[str]:
    """Return the texts of a column in equal width, with means aligned and a star at the best.

    >>> pad_cells(Column("AUC", (TableCell("0.853 ±0.012", best=True), TableCell("0.760"))))
    ['0.853*±0.012', '       0.760']
    """
    texts = []
    for cell in column.cells:
        mean, space, spread = cell.text.partition(" ")
        texts.append(f"{mean}*{spread}" if cell.best else f"{mean}{space}{spread}")
    width = max(map(len, texts), default=0)
    return [text.ljust(width) if column.left else text.rjust(width) for text in texts]


def _metric_column(comparison: Comparison, key: MetricKey, title: str) -> Column:
    best = comparison.clearly_best.get(key)
    cells = (
        TableCell(format_seeds(model.metrics.get(key)), model.candidate.name == best)
        for model in comparison.models
    )
    return Column(title, tuple(cells), left=True)


def _format_parameters(model: ModelSummary) -> str:
    if not model.results:
        return UNKNOWN
    count = model.results[0].parameters
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.1f} M" if count >= 999_500 else f"{count / 1e3:.0f} k"


def _format_milliseconds(model: ModelSummary) -> str:
    """Return the time with at most two decimals, fewer for larger values."""
    if model.cost is None:
        return UNKNOWN
    milliseconds = model.cost.milliseconds
    decimals = max(0, 3 - len(str(int(milliseconds))))
    return f"{milliseconds:.{decimals}f}"


def _format_window(model: ModelSummary) -> str:
    window_s = model.results[0].window_s if model.results else None
    return UNKNOWN if window_s is None else f"{window_s:.3g} s"


def _format_training(model: ModelSummary) -> str:
    if not model.results:
        return UNKNOWN
    return "none" if model.training is None else f"{model.training.mean:.0f} s"
