"""The page of a comparison: table, plots, how it was made."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from asd_offline.comparison.charts import draw_cost, draw_machine
from asd_offline.comparison.summary import Comparison, Ran
from asd_offline.comparison.table import (
    WORDS,
    Column,
    auc_names,
    caption,
    cost_columns,
    machine_columns,
    main_machine_columns,
    names,
    overall_columns,
    remarks,
)
from asd_offline.html.document import render_document

RULE = (
    "the recipe as it is given, the last epoch, the model's default score, a clip's score as "
    "replay has it; test labels are looked at once, for these figures"
)


def page(comparison: Comparison, out: Path) -> str:
    """Return the page; every name in it is escaped.

    Parameters
    ----------
    comparison
        What came out.
    out
        Folder that the page is written to; reports of replays are linked from there.
    """
    name = comparison.dataset.resolve().name or str(comparison.dataset)
    style = files("asd_offline.comparison").joinpath("style.css").read_text(encoding="utf-8")
    body = (
        f"{_head(comparison, name)}{_result(comparison)}{_plots(comparison)}"
        f"{_details(comparison)}{_facts(comparison, out)}"
    )
    return render_document(f"Models compared on {name}", body, style)


def _head(comparison: Comparison, name: str) -> str:
    title = f"DCASE {comparison.year} Task 2" if comparison.year else "Recordings of one's own"
    models = sum(bool(row.good) for row in comparison.rows)
    seeds = f"{comparison.seeds} seed{'s' if comparison.seeds > 1 else ''}"
    notes = "".join(f"<p class='soft'>{escape(note)}</p>" for note in comparison.notes)
    return (
        f"<h1>Models compared on {escape(name)}</h1>"
        f"<p class='soft'>{title}; {models} models, {seeds}; every model by the same rule: "
        f"{RULE}.</p>{notes}"
    )


def _result(comparison: Comparison) -> str:
    columns = [*overall_columns(comparison), *cost_columns(comparison)]
    by_machine = main_machine_columns(comparison)
    machines = f"<h3>AUC by machine</h3>{_table(comparison, by_machine)}" if by_machine else ""
    below = "".join(f"<p class='small soft'>{escape(text)}</p>" for text in _words(comparison))
    return f"<section><h2>Result</h2>{_table(comparison, columns)}{machines}{below}</section>"


def _words(comparison: Comparison) -> list[str]:
    how = [text.replace("*:", "Bold:") for text in caption(comparison)]
    return [*remarks(comparison), *how]


def _table(comparison: Comparison, columns: Sequence[Column]) -> str:
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
    body = "".join(
        f"<tr><td>{escape(model)}</td>"
        + "".join(
            f"<td{' class=best' if cell.best else ''}>{_spread_small(cell.text)}</td>"
            for cell in (column.cells[place] for column in columns)
        )
        + "</tr>"
        for place, model in enumerate(names(comparison))
    )
    return (
        f'<div class="scroll"><table class="models"><thead><tr><th>model</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _spread_small(text: str) -> str:
    mean, plus, spread = escape(text).partition(" ±")
    return f'{mean}<span class="spread">±{spread}</span>' if plus else mean


def _plots(comparison: Comparison) -> str:
    figures = "".join(
        f"<figure><figcaption><b>{escape(machine)}</b></figcaption>{drawing}</figure>"
        for machine in comparison.machines
        if (drawing := draw_machine(comparison, machine))
    )
    words = "A point for each seed, a line at their mean; dashed: chance."
    if len(auc_names(comparison)) > 1:
        words += (
            ' <span class="key first source">source</span><span class="key target">target</span>'
            " domain."
        )
    parts = (
        f"<h2>By machine</h2><p class='small soft'>{words}</p><div class='strips'>{figures}</div>"
    )
    cost = draw_cost(comparison)
    if cost:
        parts += (
            "<h2>Against cost</h2><p class='small soft'>Mean AUC over machines, with its standard "
            "deviation over seeds. Windows differ in length (see the table), so a cheap window may "
            f"have to be scored more often.</p><figure class='cost'>{cost}</figure>"
        )
    return f"<section>{parts}</section>" if figures else ""


def _details(comparison: Comparison) -> str:
    """Return every figure by machine, where the table above has only some."""
    shown = set(auc_names(comparison)) if len(comparison.machines) > 1 else set()
    tables = "".join(
        f"<h3>{WORDS[figure]}</h3>"
        f"{_table(comparison, machine_columns(comparison, figure, short=False))}"
        for figure in comparison.names
        if figure not in shown
    )
    return (
        f'<details class="card"><summary>Other figures by machine</summary>{tables}</details>'
        if tables
        else ""
    )


def _facts(comparison: Comparison, out: Path) -> str:
    facts = "".join(f"<dt>{escape(n)}</dt><dd>{value}</dd>" for n, value in _list(comparison, out))
    return f'<section><h2>How this was made</h2><dl class="facts">{facts}</dl></section>'


def _list(comparison: Comparison, out: Path) -> Iterator[tuple[str, str]]:
    if comparison.command:
        yield "command", f"<code>{escape(comparison.command)}</code>"
    yield "dataset", escape(str(comparison.dataset.absolute()))
    yield "made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {value}" for name, value in comparison.versions.items())
    yield "versions", escape(versions)
    for row in comparison.rows:
        if row.good:
            yield row.entry.model, f"{escape(row.entry.source)}{_links(row.ran, out)}"


def _links(ran: Sequence[Ran], out: Path) -> str:
    """Return links to the reports of replays."""
    links = [
        f'<a href="{quote(str(each.folder.relative_to(out)))}/replay/report.html">its replay, '
        f"seed {each.seed}</a>"
        for each in ran
        if (each.folder / "replay" / "report.html").exists()
    ]
    return "".join(f"; {link}" for link in links)
