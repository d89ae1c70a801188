"""Files of a comparison: JSON, CSV, Markdown and the page."""

import csv
import io
import json
from pathlib import Path

from asd_monitor.errors import ModelFileError, RunError
from asd_monitor.model_file.archive import write_atomically
from asd_monitor.storage.csv_cells import plain_cell
from asd_offline.comparison.page import render_page
from asd_offline.comparison.summary import Comparison
from asd_offline.comparison.table import (
    auc_columns_by_machine,
    caption,
    cost_columns,
    model_names,
    overall_columns,
    remarks,
)

RESULT = "result.json"
TABLE = "result.csv"
MARKDOWN = "table.md"
REPORT = "report.html"


def write_files(out: Path, comparison: Comparison) -> None:
    """Write all files, each completely or not at all.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    texts = {
        RESULT: json.dumps(comparison.to_dict(), allow_nan=False, indent=2) + "\n",
        TABLE: csv_text(comparison),
        MARKDOWN: markdown_text(comparison),
        REPORT: render_page(comparison, out),
    }
    for name, text in texts.items():
        try:
            write_atomically(out / name, text.encode("utf-8", "replace"))
        except (OSError, ModelFileError) as error:
            msg = f"{error}; free space and run the same command again: nothing is done twice"
            raise RunError(msg) from error


def csv_text(comparison: Comparison) -> str:
    """Return a row for each model, seed and machine (``all``: over all machines)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = comparison.metric_names
    writer.writerow(("name", "model", "seed", "machine", *names))
    for model in comparison.models:
        for result in model.results:
            for machine, metrics in result.metrics.items():
                values = (metrics.get(name) for name in names)
                cells = ("" if value is None else repr(value) for value in values)
                row = model.candidate.name, result.model, result.seed, machine
                writer.writerow((*map(plain_cell, row), *cells))
    return text.getvalue()


def markdown_text(comparison: Comparison) -> str:
    """Return the table for a document, the best in bold."""
    columns = [
        *auc_columns_by_machine(comparison),
        *overall_columns(comparison),
        *cost_columns(comparison),
    ]
    lines = [
        f"| model | {' | '.join(column.title for column in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for index, model in enumerate(model_names(comparison)):
        cells = (column.cells[index] for column in columns)
        texts = (f"**{cell.text}**" if cell.best else cell.text for cell in cells)
        lines.append(f"| `{model}` | {' | '.join(texts)} |")
    lines.append("")
    lines += [f"- {remark}" for remark in remarks(comparison)]
    return "\n".join([*lines, "", *caption(comparison, mark="Bold")]) + "\n"
