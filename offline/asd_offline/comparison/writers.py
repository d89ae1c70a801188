"""A comparison on disk: JSON, CSV, Markdown and the page."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from asd_monitor.errors import ModelFileError, RunError
from asd_monitor.model_file.archive import write_atomically
from asd_offline.comparison.page import page
from asd_offline.comparison.summary import Comparison
from asd_offline.comparison.table import (
    Column,
    caption,
    cost_columns,
    main_machine_columns,
    names,
    overall_columns,
    remarks,
)

RESULT = "result.json"
TABLE = "result.csv"
MARKDOWN = "table.md"
REPORT = "report.html"


def write_files(out: Path, comparison: Comparison) -> None:
    """Write everything, each file whole or not at all.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    document = json.dumps(comparison.to_json(), allow_nan=False, indent=2) + "\n"
    texts = {
        RESULT: document,
        TABLE: csv_text(comparison),
        MARKDOWN: markdown(comparison),
        REPORT: page(comparison, out),
    }
    for name, text in texts.items():
        try:
            write_atomically(out / name, text.encode("utf-8", "replace"))
        except (OSError, ModelFileError) as error:
            told = f"{error}; free space and run the same command again: nothing is done twice"
            raise RunError(told) from error


def csv_text(comparison: Comparison) -> str:
    """Return a row for each model, seed and machine (``all``: over all machines)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "seed", "machine", *comparison.names))
    for row in comparison.rows:
        for outcome in row.good:
            for machine, values in outcome.figures.items():
                known = (values.get(name) for name in comparison.names)
                cells = ("" if value is None else repr(value) for value in known)
                writer.writerow((outcome.model, outcome.seed, machine, *cells))
    return text.getvalue()


def markdown(comparison: Comparison) -> str:
    """Return the table for a document, the best in bold."""
    columns = [
        *main_machine_columns(comparison),
        *overall_columns(comparison),
        *cost_columns(comparison),
    ]
    lines = [
        f"| model | {' | '.join(column.title for column in columns)} |",
        f"|---|{'---:|' * len(columns)}",
        *_rows(names(comparison), columns),
    ]
    words = [*(f"- {text}" for text in remarks(comparison)), "", *caption(comparison)]
    bold = [text.replace("*:", "Bold:") for text in words]
    return "\n".join([*lines, "", *bold]) + "\n"


def _rows(models: tuple[str, ...], columns: list[Column]) -> Iterator[str]:
    for place, model in enumerate(models):
        cells = (column.cells[place] for column in columns)
        texts = (f"**{each.text}**" if each.best else each.text for each in cells)
        yield f"| `{model}` | {' | '.join(texts)} |"
