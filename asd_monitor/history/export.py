"""Rows of the history as JSON and as CSV."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from asd_monitor.history.records import Event, EventNote, MinuteRow, ScoreRow
from asd_monitor.storage.csv_cells import plain_cell

SCORE_COLUMNS = (
    "at", "score", "threshold", "normal_range", "level_dbfs", "shift_s", "state", "quality",
    "lost_samples",
)  # fmt: skip
MINUTE_COLUMNS = (
    "at", "length_s", "windows", "scored", "lowest", "median", "highest", "over", "threshold",
    "normal_range", "level_dbfs", "state", "lost_samples", "mode",
)  # fmt: skip


def format_utc(at_s: float | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the millisecond; None for None."""
    if at_s is None:
        return None
    text = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def score_to_dict(row: ScoreRow) -> dict[str, Any]:
    """Return a score with the keys of :data:`SCORE_COLUMNS`."""
    return {
        "at": format_utc(row.at_s),
        "score": row.value,
        "threshold": row.threshold,
        "normal_range": row.normal_range,
        "level_dbfs": row.level_dbfs,
        "shift_s": row.shift_s,
        "state": str(row.state),
        "quality": str(row.quality),
        "lost_samples": row.lost_samples,
    }


def minute_to_dict(row: MinuteRow, mode: str) -> dict[str, Any]:
    """Return the scores of a minute or a longer span with the keys of :data:`MINUTE_COLUMNS`.

    Parameters
    ----------
    row
        The scores.
    mode
        Mode in which the machine was longest; empty where none is known.
    """
    return {
        "at": format_utc(row.start_s),
        "length_s": row.length_s,
        "windows": row.windows,
        "scored": row.scored,
        "lowest": row.lowest,
        "median": row.median,
        "highest": row.highest,
        "over": row.over,
        "threshold": row.threshold,
        "normal_range": row.normal_range,
        "level_dbfs": row.level_dbfs,
        "state": str(row.worst_state),
        "lost_samples": row.lost_samples,
        "mode": mode or None,
    }


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return an event."""
    values = asdict(event)
    del values["opened_s"], values["closed_s"]
    return {
        "id": values.pop("id"),
        "machine": values.pop("machine"),
        "opened": format_utc(event.opened_s),
        "closed": format_utc(event.closed_s),
        **values,
        "peak_state": str(event.peak_state),
    }


def note_to_dict(note: EventNote) -> dict[str, Any]:
    """Return a note about an event."""
    return {
        "at": format_utc(note.at_s), "who": note.who, "kind": str(note.kind), "text": note.text
    }  # fmt: skip


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], file: TextIO) -> None:
    """Write rows as CSV with a header; a missing value is an empty cell."""
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: plain_cell(value) for name, value in row.items()} for row in rows)
