"""Convert rows of the database to records."""

import sqlite3

from asd_monitor.history.codes import QUALITIES, STATES, to_s
from asd_monitor.history.events import parse_bands
from asd_monitor.history.records import (
    AuditEntry,
    Event,
    EventNote,
    MinuteRow,
    ModelRow,
    ModeSpan,
    NoteKind,
    ScoreRow,
    Shelf,
    StateSpan,
)
from asd_monitor.records import State

STATE_OF = {str(state): state for state in State}
"""The states by their names; a lookup takes a fifth of the time of ``State(name)``."""


def to_score(row: sqlite3.Row) -> ScoreRow:
    """Return a row of ``score`` with its limits."""
    return ScoreRow(
        at_s=to_s(row["at_ms"]),
        value=row["value"],
        state=STATES[row["state"]],
        quality=QUALITIES[row["quality"]],
        threshold=row["threshold"],
        normal_range=row["normal_range"],
        level_dbfs=row["level_dbfs"],
        shift_s=to_s(row["shift_ms"]),
        lost_samples=row["lost_samples"],
    )


def to_minute(row: sqlite3.Row, length_ms: int) -> MinuteRow:
    """Return a row of ``score_minute`` or ``score_hour`` with its limits."""
    return MinuteRow(
        start_s=to_s(row["start_ms"]),
        length_s=to_s(length_ms),
        windows=row["windows"],
        scored=row["scored"],
        lowest=row["lowest"],
        median=row["median"],
        highest=row["highest"],
        over=row["over"],
        level_dbfs=row["level_dbfs"],
        worst_state=STATES[row["worst_state"]],
        lost_samples=row["lost_samples"],
        threshold=row["threshold"],
        normal_range=row["normal_range"],
    )


def to_span(row: sqlite3.Row) -> StateSpan:
    """Return a row of ``state_span``."""
    end_s = None if row["to_ms"] is None else to_s(row["to_ms"])
    return StateSpan(to_s(row["from_ms"]), end_s, STATE_OF[row["state"]], row["reason"])


def to_mode_span(row: sqlite3.Row) -> ModeSpan:
    """Return a row of ``mode_span``."""
    end_s = None if row["to_ms"] is None else to_s(row["to_ms"])
    return ModeSpan(to_s(row["from_ms"]), end_s, row["mode"])


def to_event(row: sqlite3.Row) -> Event:
    """Return a row of ``event`` with its machine and what its notes say."""
    return Event(
        id=row["id"],
        machine=row["machine"],
        opened_s=to_s(row["opened_ms"]),
        closed_s=None if row["closed_ms"] is None else to_s(row["closed_ms"]),
        peak_state=State(row["peak_state"]),
        peak_score=row["peak_score"],
        threshold=row["threshold"],
        rule=row["rule"],
        reason=row["reason"],
        headline=row["headline"],
        bands=parse_bands(row["bands"]),
        clip=row["clip"],
        picture=row["picture"],
        nearest_normal=row["nearest_normal"],
        clip_s=row["clip_s"],
        shift_s=row["shift_s"],
        model_sha256=row["model_sha256"],
        provisional=bool(row["provisional"]),
        protected=bool(row["protected"]),
        verdict=row["verdict"] or "",
        acknowledged=bool(row["acknowledged"]),
    )


def to_note(row: sqlite3.Row) -> EventNote:
    """Return a row of ``event_note``."""
    return EventNote(
        row["event_id"], to_s(row["at_ms"]), row["who"], NoteKind(row["kind"]), row["text"]
    )


def to_shelf(row: sqlite3.Row, machine: str) -> Shelf:
    """Return a row of ``shelf``."""
    return Shelf(
        machine,
        to_s(row["from_ms"]),
        to_s(row["until_ms"]),
        row["who"],
        row["why"],
        NoteKind(row["kind"]),
    )


def to_audit_entry(row: sqlite3.Row) -> AuditEntry:
    """Return a row of ``audit``."""
    return AuditEntry(
        to_s(row["at_ms"]),
        row["who"],
        row["via"],
        row["action"],
        row["machine"],
        row["event_id"],
        bool(row["accepted"]),
        row["text"],
    )


def to_model(row: sqlite3.Row) -> ModelRow:
    """Return a row of ``model``."""
    return ModelRow(
        row["sha256"],
        to_s(row["from_ms"]),
        row["name"],
        row["revision"],
        row["calibration_windows"],
        bool(row["provisional"]),
    )
