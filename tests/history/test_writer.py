"""What is recorded is read again: scores, minutes, states, events and notes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import Event, EventNote, NoteKind, Shelf
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import (
    Band,
    Decision,
    Limit,
    Quality,
    ScoredWindow,
    State,
    Verdict,
)
from tests.rig.history import AT_S, change, score_at, writing
from tests.rig.records import MODEL, scored_window


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def writer(path: Path) -> Iterator[HistoryWriter]:
    writer = HistoryWriter(path)
    writer.open()
    yield writer
    writer.close()


@pytest.fixture
def reader(path: Path) -> HistoryReader:
    return HistoryReader(path)


def test_a_score_is_read_with_everything_that_was_recorded(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    limits = (Limit("sequential", "normal range", 1.5),)
    decision = Decision(State.WARNING, "loud", 12.5, limits=limits)
    writer.record(scored_window(decision=decision, captured_at=AT_S + 0.25, lost_samples=7))
    assert writer.flush()
    (row,) = reader.scores("pump", AT_S, AT_S + 1)
    assert (row.at_s, row.value, row.threshold, row.normal_range) == (AT_S + 0.25, 1.25, 2.0, 1.5)
    assert (row.state, row.quality, row.shift_s) == (State.WARNING, Quality.OK, 12.5)
    assert (row.level_dbfs, row.lost_samples) == (-31.5, 7)
    assert [model.sha256 for model in reader.models("pump")] == [MODEL.sha256]


def test_windows_with_the_same_time_are_all_kept(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    for value in (1.0, 2.0, 3.0):
        writer.record(scored_window(captured_at=AT_S, value=value))
        assert writer.flush()
    writer.record(scored_window(captured_at=AT_S, value=4.0))
    writer.record(scored_window(captured_at=AT_S, value=5.0))
    assert writer.flush()
    rows = reader.scores("pump", AT_S, AT_S + 1)
    assert sorted(row.value or 0.0 for row in rows) == [1, 2, 3, 4, 5]
    assert writer.dropped == 0


def test_a_window_without_a_score_is_kept_as_one(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    silent = scored_window(
        captured_at=AT_S, quality=Quality.SILENT, value=None, threshold=None, level_dbfs=None
    )
    writer.record(silent)
    assert writer.flush()
    (row,) = reader.scores("pump", AT_S, AT_S + 1)
    assert (row.value, row.quality, row.level_dbfs) == (None, Quality.SILENT, None)


def test_a_warning_and_its_alarm_are_one_event_with_its_peak(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    tracker = CaseTracker(writer.open_events)
    states = [(State.NORMAL, 0), (State.WARNING, 10), (State.ALARM, 20), (State.NORMAL, 40)]
    for state, at_s in states:
        writer.record(tracker.assign(change(state, AT_S + at_s, reason=f"in {state}")))
        for second in range(10):
            decision = Decision(state, shift_s=float(at_s + second))
            value = 9.0 if (at_s, second) == (20, 5) else 1.0
            moment = AT_S + at_s + second
            writer.record(scored_window(decision=decision, captured_at=moment, value=value))
    assert writer.flush()
    (found,) = reader.events()
    assert (found.opened_s, found.closed_s) == (AT_S + 10, AT_S + 40)
    assert (found.peak_state, found.reason, found.peak_score) == (State.ALARM, "in ALARM", 9.0)
    assert reader.events(open=True) == []
    seconds = reader.time_in_state("pump", AT_S, AT_S + 50)
    assert seconds == {State.NORMAL: 20.0, State.WARNING: 10.0, State.ALARM: 20.0}


def test_the_peak_of_an_event_is_no_score_of_a_machine_that_is_off(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    tracker = CaseTracker(writer.open_events)
    writer.record(tracker.assign(change(State.ALARM, AT_S)))
    judged = Decision(State.ALARM)
    off = replace(judged, verdict=Verdict("machine off"))
    writer.record(scored_window(decision=judged, captured_at=AT_S + 1, value=3.0))
    writer.record(scored_window(decision=off, captured_at=AT_S + 2, value=9.0))
    assert writer.flush()
    (found,) = reader.events()
    assert found.peak_score == 3.0


def test_evidence_and_notes_are_added_to_an_event(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    writer.open_event(Event("e1", "pump", AT_S))
    bands = (Band(200.0, 300.0, 6.5, 1.0, 3.0),)
    writer.update_event("e1", headline="louder at 250 Hz", bands=bands, clip="clip.flac")
    for second, kind in enumerate([NoteKind.ACK, NoteKind.FAULT, NoteKind.NORMAL]):
        writer.add_note(EventNote("e1", AT_S + second, "Kim", kind, "text"))
    assert writer.flush()
    found = reader.event("e1")
    assert found is not None
    assert (found.headline, found.bands, found.clip) == ("louder at 250 Hz", bands, "clip.flac")
    assert (found.verdict, found.acknowledged) == ("normal", True)
    kinds = [note.kind for note in reader.notes("e1")]
    assert kinds == [NoteKind.ACK, NoteKind.FAULT, NoteKind.NORMAL]


def test_a_field_that_an_event_does_not_have_is_refused(writer: HistoryWriter) -> None:
    with pytest.raises(ValueError, match="expected fields of Event that can be changed, got title"):
        writer.update_event("e1", title="x")


def test_a_shelf_applies_until_it_ends(writer: HistoryWriter, reader: HistoryReader) -> None:
    shelf = Shelf("pump", AT_S, AT_S + 3600, "Kim", "new bearing", NoteKind.MAINTENANCE)
    writer.shelve(shelf)
    assert writer.flush()
    assert reader.shelves("pump", AT_S + 60) == [shelf]
    assert reader.shelves("pump", AT_S + 3600) == []
    writer.unshelve("pump", AT_S + 100)
    assert writer.flush()
    assert reader.shelves("pump", AT_S + 200) == []


def test_minutes_and_hours_summarise_the_scores(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    for second in range(7200):
        writer.record(scored_window(captured_at=AT_S + second, value=float(second % 60)))
    assert writer.flush()
    writer.close()
    minutes = reader.minutes("pump", AT_S, AT_S + 7200)
    assert len(minutes) == 120
    first = minutes[0]
    assert (first.windows, first.lowest, first.median, first.highest) == (60, 0.0, 29.5, 59.0)
    assert (first.over, first.threshold, first.worst_state) == (57, 2.0, State.NORMAL)
    first_hour, second_hour = reader.hours("pump", AT_S, AT_S + 7200)
    assert (first_hour.windows, first_hour.median, second_hour.over) == (3600, 29.5, 57 * 60)
    halves = reader.minutes("pump", AT_S, AT_S + 7200, max_points=8)
    assert [half.windows for half in halves] == [900] * 8


def test_windows_of_a_machine_that_is_off_do_not_count_as_over(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    for second in range(60):
        state = State.OFF if second < 40 else State.NORMAL
        writer.record(score_at(AT_S + second, 9.0, state=state))
    assert writer.flush()
    writer.close()
    (minute,) = reader.minutes("pump", AT_S, AT_S + 60)
    assert (minute.windows, minute.over) == (60, 20)
    assert sum(row.is_over for row in reader.scores("pump", AT_S, AT_S + 60)) == 20


def test_few_points_keep_the_highest_scores(writer: HistoryWriter, reader: HistoryReader) -> None:
    for second in range(1000):
        value = 50.0 if second == 777 else 1.0
        writer.record(scored_window(captured_at=AT_S + second, value=value))
    assert writer.flush()
    rows = reader.scores("pump", AT_S, AT_S + 1000, max_points=10)
    assert len(rows) == 10
    assert max((row.value or 0.0, row.at_s) for row in rows) == (50.0, AT_S + 777)


def test_nothing_is_recorded_after_the_end(writer: HistoryWriter, reader: HistoryReader) -> None:
    writer.record(scored_window(captured_at=AT_S))
    writer.close()
    writer.record(scored_window(captured_at=AT_S + 1))
    writer.close()
    assert writer.dropped == 1
    assert len(reader.scores("pump", AT_S, AT_S + 10)) == 1


def test_the_end_of_recordings_that_are_ahead_of_the_clock_shortens_no_state(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    writer.record(change(State.NORMAL, AT_S))
    for second in range(100):
        writer.record(scored_window(captured_at=AT_S + second))
    writer.record(change(State.UNKNOWN, AT_S + 2, reason="the monitor has stopped"))
    writer.close()
    assert reader.time_in_state("pump", AT_S, AT_S + 100) == {State.NORMAL: 99.0}


def test_an_alarm_that_a_restart_interrupts_is_counted_once(
    path: Path, writer: HistoryWriter, reader: HistoryReader
) -> None:
    alarm = change(State.ALARM, AT_S)
    writer.record(alarm)
    writer.record(scored_window(captured_at=AT_S + 60))
    writer.close()
    restarted = HistoryWriter(path, clock=lambda: AT_S + 200)
    restarted.open()
    restarted.record(replace(alarm, previous=State.ALARM, reason="continued"))
    restarted.record(scored_window(captured_at=AT_S + 230))
    restarted.close()
    assert reader.time_in_state("pump", AT_S, AT_S + 300) == {State.ALARM: 60.0 + 30.0}


def in_mode(mode: str, at_s: float) -> ScoredWindow:
    return scored_window(decision=Decision(State.NORMAL, mode=mode), captured_at=at_s)


def test_the_time_in_each_mode_is_kept_over_a_restart_and_not_over_a_pause(path: Path) -> None:
    reader = HistoryReader(path)
    with writing(path) as writer:
        for second in range(0, 30, 2):
            writer.record(in_mode("idle" if second < 10 else "running", AT_S + second))
    with writing(path) as writer:
        for second in (*range(30, 40, 2), *range(140, 150, 2)):
            writer.record(in_mode("running", AT_S + second))
        writer.record(in_mode("", AT_S + 150))
        assert writer.flush()
        found = [(span.mode, span.from_s, span.to_s) for span in reader.mode_spans("pump", 0, 1e10)]
    assert found == [
        ("idle", AT_S, AT_S + 10),
        ("running", AT_S + 10, AT_S + 28),
        ("running", AT_S + 30, AT_S + 38),
        ("running", AT_S + 140, AT_S + 150),
    ]
    assert reader.time_in_mode("pump", AT_S, AT_S + 145) == {"running": 31.0, "idle": 10.0}


def test_a_mode_that_a_killed_run_left_open_ends_at_its_newest_score(path: Path) -> None:
    writer = HistoryWriter(path)
    writer.open()
    for second in range(0, 10, 2):
        writer.record(in_mode("idle", AT_S + second))
    assert writer.flush()  # and never closed
    with writing(path) as next_run:
        next_run.record(in_mode("running", AT_S + 3600))
        assert next_run.flush()
        spans = HistoryReader(path).mode_spans("pump", 0, 1e10)
    assert [(span.mode, span.to_s) for span in spans] == [("idle", AT_S + 8), ("running", None)]
    writer.close()
