"""Histories with known content."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.write_queue import WriteQueue
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import Decision, ScoredWindow, State, Transition
from tests.rig.records import event, scored_window

AT_S = 1_800_000_000.0
"""Start of an hour."""


@contextmanager
def writing(
    path: Path,
    settings: HistorySettings | None = None,
    displayed: Mapping[str, str] | None = None,
) -> Iterator[HistoryWriter]:
    """Open a history for writing; its clock shows :data:`AT_S`, and its queue is long."""
    queue = WriteQueue(1_000_000, 1_000_000)
    writer = HistoryWriter(path, settings, clock=lambda: AT_S, queue=queue, displayed=displayed)
    writer.open()
    try:
        yield writer
    finally:
        writer.close()


def score_at(
    at_s: float, value: float = 1.0, machine: str = "pump", state: State = State.NORMAL
) -> ScoredWindow:
    """Return a score of a window that ended at a time."""
    return scored_window(machine=machine, decision=Decision(state), captured_at=at_s, value=value)


def change(
    state: State, at_s: float, event_id: str = "", reason: str = "", machine: str = "pump"
) -> Transition:
    """Return a change to a state."""
    transition = event("t", state, machine)
    return replace(transition, captured_at=at_s, event_id=event_id, reason=reason, score=None)
