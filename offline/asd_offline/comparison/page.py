"""Page of a comparison: tables, charts and provenance."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from asd_offline.comparison.charts import draw_cost, draw_machine
from asd_offline.comparison.summary import Comparison, Run
from asd_offline.comparison.table import (
    TITLES,
    Column,
    auc_columns_by_machine,
    auc_names,
    caption,
    cost_columns,
    machine_columns,
    model_names,
    overall_columns,
    remarks,
)
from asd_offline.html.document import render_document, render_facts

RULE = (
    "the recipe as given, the last epoch, the model's default score and the clip scores of a "
    "replay; test labels are used once, for these metrics"
)


def render_page(comparison: Comparison, out: Path) -> str:
    """Return the page, with every name escaped.

    Parameters
    ----------
    comparison
        All models.
    out
        Folder of the page, from which it links to the reports of replays.
    """
    name = comparison.dataset.resolve().name or str(comparison.dataset)
    style = files("asd_offline.comparison").joinpath("style.css").read_text(encoding="utf-8")
    body = (
        f"{_summary(comparison, name)}{_result(comparison)}{_charts(comparison)}"
        f"{_other_metrics(comparison)}{render_facts('Provenance', _facts(comparison, out))}"
    )
    return render_document(f"Models compared on {name}", body, style)


def _summary(comparison: Comparison, name: str) -> str:
    title = f"DCASE {comparison.year} Task 2" if comparison.year else "Your own recordings"
    models = sum(bool(model.results) for model in comparison.models)
    seeds = f"{comparison.seeds} seed{'s' if comparison.seeds > 1 else ''}"
    notes = "".join(f"<p class='soft'>{escape(note)}</p>" for note in comparison.notes)
    return (
        f"<h1>Models compared on {escape(name)}</h1>"
        f"<p class='soft'>{title}; {models} models, {seeds}. The same rule for every model: "
        f"{RULE}.</p>{notes}"
    )


def _result(comparison: Comparison) -> str:
    columns = [*overall_columns(comparison), *cost_columns(comparison)]
    by_machine = auc_columns_by_machine(comparison)
    machines = f"<h3>AUC by machine</h3>{_table(comparison, by_machine)}" if by_machine else ""
    sentences = [*remarks(comparison), *caption(comparison, mark="Bold")]
    notes = "<br>".join(escape(sentence) for sentence in sentences)
    return (
        f"<section><h2>Result</h2>{_table(comparison, columns)}{machines}"
        f"<p class='small soft'>{notes}</p></section>"
    )


def _table(comparison: Comparison, columns: Sequence[Column]) -> str:
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
    cells = [_cells(column) for column in columns]
    rows = "".join(
        f"<tr><td>{escape(model)}</td>{''.join(column[index] for column in cells)}</tr>"
        for index, model in enumerate(model_names(comparison))
    )
    return (
        '<div class="scroll" tabindex="0"><table class="models"><thead>'
        f"<tr><th>model</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(column: Column) -> list[str]:
    """Return the cells of a column; without a spread, an invisible one keeps means aligned."""
    parts = [cell.text.partition(" ±") for cell in column.cells]
    placeholder = next((spread for _, _, spread in parts if spread), "")
    cells = []
    for cell, (mean, _, spread) in zip(column.cells, parts, strict=True):
        hidden = "" if spread else " hidden"
        text = (
            f'<span class="spread{hidden}">±{spread or placeholder}</span>' if placeholder else ""
        )
        cells.append(f"<td{' class=best' if cell.best else ''}>{escape(mean)}{text}</td>")
    return cells


def _charts(comparison: Comparison) -> str:
    figures = "".join(
        f"<figure><figcaption><b>{escape(machine)}</b></figcaption>{drawing}</figure>"
        for machine in comparison.machines
        if (drawing := draw_machine(comparison, machine))
    )
    if not figures:
        return ""
    legend = "A dot for each seed, a line at their mean; dashed: chance."
    if len(auc_names(comparison)) > 1:
        legend += (
            ' <span class="key first source">source</span><span class="key target">target</span>'
            " domain."
        )
    charts = (
        f"<h2>AUC by machine</h2><p class='small soft'>{legend}</p>"
        f"<div class='strips'>{figures}</div>"
    )
    cost = draw_cost(comparison)
    if cost:
        charts += (
            "<h2>AUC and cost</h2><p class='small soft'>Mean AUC over machines, with its standard "
            "deviation over seeds. Windows differ in length (see the table), so a cheap window may "
            "have to be scored more often.</p>"
            f"<div class='scroll'><figure class='cost'>{cost}</figure></div>"
        )
    return f"<section>{charts}</section>"


def _other_metrics(comparison: Comparison) -> str:
    """Return tables by machine of the metrics that the tables above do not have."""
    shown = auc_names(comparison) if len(comparison.machines) > 1 else ()
    tables = "".join(
        f"<h3>{TITLES[name]}</h3>"
        f"{_table(comparison, machine_columns(comparison, name, short=False))}"
        for name in comparison.metric_names
        if name not in shown
    )
    if not tables:
        return ""
    return f'<details class="card"><summary>Other metrics by machine</summary>{tables}</details>'


def _facts(comparison: Comparison, out: Path) -> Iterator[tuple[str, str]]:
    if comparison.command:
        yield "command", f"<code>{escape(comparison.command)}</code>"
    yield "dataset", escape(str(comparison.dataset.absolute()))
    yield "created", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    yield "versions", escape(versions)
    for model in comparison.models:
        if model.results:
            candidate = model.candidate
            links = "".join(_report_links(model.runs, out))
            yield candidate.name, f"{escape(candidate.recipe_source)}{links}"


def _report_links(runs: Sequence[Run], out: Path) -> Iterator[str]:
    for run in runs:
        if (run.folder / "replay" / "report.html").exists():
            address = f"{quote(str(run.folder.relative_to(out)))}/replay/report.html"
            yield f'; <a href="{address}">replay of seed {run.seed}</a>'
