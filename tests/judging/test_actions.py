"""What people do about events is recorded, kept, and answered with what happens next."""

import os
import sqlite3
from pathlib import Path

import pytest

from asd_monitor.errors import ConfigError, StateError
from asd_monitor.history.records import NoteKind
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging import actions
from asd_monitor.judging.alarm_status import read_alarm
from asd_monitor.judging.store import (
    MAX_TEXT,
    Author,
    JudgingStore,
    UnknownEventError,
    UnknownMachineError,
)
from asd_monitor.records import AlarmStatus, Band
from tests.rig.judging import ANNA, HUM, NOW_S, make_event, make_store

CLIP = {"clip": "clip.flac"}


def test_an_acknowledgement_is_kept_with_author_time_and_comment(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a", closed_s=None))
    outcome = actions.acknowledge(store, ANNA, "a", "valve is being changed")
    assert "still open" in outcome.message
    (note,) = store.reader.notes("a")
    assert (note.who, note.at_s, note.kind) == ("anna", NOW_S, NoteKind.ACK)
    assert note.text == "valve is being changed"
    event = store.event("a")
    assert (event.acknowledged, event.closed_s) == (True, None)  # as measured: still in alarm


def test_everything_done_is_in_the_audit_with_its_origin(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    actions.acknowledge(store, ANNA, "a")
    actions.judge(store, Author("bert", "page"), "a", NoteKind.UNSURE, "to be checked")
    actions.shelve(store, ANNA, "pump", NOW_S + 3600, "painting")
    actions.unshelve(store, Author("bert", "mqtt"), "pump")
    entries = store.reader.audit()
    assert [(e.who, e.via, e.action) for e in entries] == [
        ("bert", "mqtt", "unshelve"),
        ("anna", "command line", "shelve"),
        ("bert", "page", "unsure"),
        ("anna", "command line", "ack"),
    ]
    assert {e.machine for e in entries} == {"pump"}
    assert "painting" in entries[1].text
    assert "until 2027-01-15 09:00:00 UTC" in entries[1].text


def test_acknowledging_a_machine_acknowledges_each_open_question(tmp_path: Path) -> None:
    events = [make_event("a"), make_event("b"), make_event("c"), make_event("d", "fan")]
    store = make_store(tmp_path, *events)
    actions.judge(store, ANNA, "b", NoteKind.UNSURE)
    outcome = actions.acknowledge_machine(store, ANNA, "pump", "seen")
    assert set(outcome.events) == {"a", "c"}
    assert not store.event("d").acknowledged
    assert actions.acknowledge_machine(store, ANNA, "pump").events == ()


def test_the_newest_verdict_counts_and_earlier_ones_are_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    actions.judge(store, ANNA, "a", NoteKind.FAULT, "bearing was worn")
    assert store.event("a").verdict == "fault"
    assert [note.kind for note in store.reader.notes("a")] == [NoteKind.NORMAL, NoteKind.FAULT]


def test_a_verdict_protects_the_evidence_unless_it_is_unsure(tmp_path: Path) -> None:
    store = make_store(tmp_path, *(make_event(name) for name in "abc"))
    for name, kind in zip("abc", (NoteKind.NORMAL, NoteKind.FAULT, NoteKind.UNSURE), strict=True):
        actions.judge(store, ANNA, name, kind)
    assert [store.event(name).protected for name in "abc"] == [True, True, False]


def test_normal_sound_is_copied_until_there_is_enough_to_learn_from(tmp_path: Path) -> None:
    store = make_store(tmp_path, *(make_event(name, **CLIP) for name in "abc"))
    first = actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    assert "false alarm" in first.message
    assert "with the recordings of 2 more events" in first.message
    assert "does not change by itself" in first.message
    actions.judge(store, ANNA, "b", NoteKind.NORMAL)
    third = actions.judge(store, ANNA, "c", NoteKind.NORMAL)
    assert "asd-monitor refit pump" in third.message
    assert third.feedback is not None
    assert third.feedback.is_enough
    copies = sorted((tmp_path / "recordings/pump/feedback").iterdir())
    assert [copy.name for copy in copies] == ["a.flac", "b.flac", "c.flac"]
    assert copies[0].read_bytes() == b"clip of a"


def test_events_from_before_a_machine_was_learned_afresh_are_left_out(tmp_path: Path) -> None:
    events = [make_event("old", opened_s=NOW_S - 9000, **CLIP), make_event("new", **CLIP)]
    store = make_store(tmp_path, *events)
    recording = tmp_path / "recordings/pump/train/normal_id_00_00000000.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"")
    os.utime(recording, (NOW_S - 5000, NOW_S - 5000))
    for event in events:
        actions.judge(store, ANNA, event.id, NoteKind.NORMAL)
    copies = [copy.name for copy in (tmp_path / "recordings/pump/feedback").iterdir()]
    assert copies == ["new.flac"]


def test_a_clip_of_a_recording_that_was_read_fast_is_copied(tmp_path: Path) -> None:
    event = make_event("a", opened_s=NOW_S - 9000, **CLIP)
    store = make_store(tmp_path, event)
    recording = tmp_path / "recordings/pump/train/normal_id_00_00000000.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"")
    os.utime(recording, (NOW_S - 5000, NOW_S - 5000))
    os.utime(tmp_path / "events/a/clip.flac", (NOW_S - 4000, NOW_S - 4000))
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    assert (tmp_path / "recordings/pump/feedback/a.flac").exists()


def test_another_verdict_takes_the_copy_back(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a", **CLIP))
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    actions.judge(store, ANNA, "a", NoteKind.FAULT)
    assert list((tmp_path / "recordings/pump/feedback").iterdir()) == []
    assert (tmp_path / "events/a/clip.flac").exists()


def test_an_event_without_a_clip_says_that_there_is_nothing_to_learn(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a", closed_s=None), make_event("b"))
    still_open = actions.judge(store, ANNA, "a", NoteKind.NORMAL).message
    assert "is kept as a recording of normal sound" in still_open
    assert "alarm ends when" in still_open
    assert "has no clip" in actions.judge(store, ANNA, "b", NoteKind.NORMAL).message


@pytest.mark.parametrize(
    ("bands", "warns"),
    [
        (HUM, True),
        ((Band(205, 310, 3.0), Band(640, 760, 4.0)), True),  # the same, less loud
        ((Band(200, 300, -6.0), Band(650, 750, -9.0)), False),  # quieter instead of louder
        ((Band(3000, 4000, 9.0),), False),
        ((), False),
    ],
)
def test_normal_sound_that_resembles_a_fault_is_warned_about(
    tmp_path: Path, bands: tuple[Band, ...], warns: bool
) -> None:
    store = make_store(tmp_path, make_event("fault"), make_event("new", bands=bands))
    actions.judge(store, ANNA, "fault", NoteKind.FAULT)
    outcome = actions.judge(store, ANNA, "new", NoteKind.NORMAL)
    assert ("fault" in outcome.warning) is warns


def test_a_shelf_ends_by_itself_or_by_hand(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a", closed_s=None))
    outcome = actions.shelve(store, ANNA, "pump", NOW_S + 8 * 3600, "painting")
    assert "shelved for 8 h" in outcome.message
    alarm = read_alarm(store.reader, "pump", NOW_S)
    assert (alarm.status, alarm.until_s, alarm.who) == ("shelved", NOW_S + 8 * 3600, "anna")
    assert (alarm.event_id, alarm.comment, alarm.unacknowledged) == ("a", "painting", 1)
    assert read_alarm(store.reader, "pump", NOW_S + 8 * 3600).status == "unacknowledged"
    actions.unshelve(store, ANNA, "pump")
    assert read_alarm(store.reader, "pump", NOW_S + 1).status == "unacknowledged"
    assert "neither" in actions.unshelve(store, ANNA, "pump").message
    assert [note.kind for note in store.reader.notes("a")] == [NoteKind.SHELVE, NoteKind.UNSHELVE]


def test_a_new_shelf_replaces_the_one_before(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    actions.shelve(store, ANNA, "pump", NOW_S + 8 * 3600)
    actions.shelve(store, ANNA, "pump", NOW_S + 3600, kind=NoteKind.MAINTENANCE)
    alarm = read_alarm(store.reader, "pump", NOW_S + 1)
    assert (alarm.status, alarm.until_s) == (AlarmStatus.MAINTENANCE, NOW_S + 3600)


def test_the_alarm_follows_an_event_from_its_beginning_to_its_acknowledgement(
    tmp_path: Path,
) -> None:
    store = make_store(tmp_path, make_event("a", closed_s=None))

    def status(open_event: str | None = None) -> tuple[str, str, int]:
        alarm = read_alarm(store.reader, "pump", NOW_S, open_event)
        return alarm.status, alarm.event_id, alarm.unacknowledged

    assert status() == ("unacknowledged", "a", 1)
    assert status("") == ("returned-unacknowledged", "a", 1)  # ended, and not yet written so
    assert status("b") == ("unacknowledged", "b", 2)  # a newer one that is not written yet
    actions.acknowledge(store, ANNA, "a", "on my way")
    assert status() == ("acknowledged", "a", 0)
    assert read_alarm(store.reader, "pump", NOW_S).comment == "on my way"
    assert status("") == ("none", "", 0)


def test_unknown_events_and_machines_are_refused_and_change_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    with pytest.raises(UnknownEventError, match="nothing"):
        actions.acknowledge(store, ANNA, "nothing")
    with pytest.raises(UnknownMachineError, match="expected one of: pump"):
        actions.shelve(store, ANNA, "fan", NOW_S + 60)
    with pytest.raises(ConfigError, match="in the future"):
        actions.shelve(store, ANNA, "pump", NOW_S - 1)
    with pytest.raises(ConfigError, match="a verdict"):
        actions.judge(store, ANNA, "a", NoteKind.ACK)
    with pytest.raises(ConfigError, match="nothing"):
        actions.comment(store, ANNA, "a", "  ")
    assert store.reader.audit() == []


def test_without_a_history_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no history yet"):
        actions.acknowledge(JudgingStore(tmp_path), ANNA, "a")
    assert list(tmp_path.iterdir()) == []


def test_text_from_people_is_limited_and_free_of_control_characters(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    actions.comment(store, Author("an\x1b[31mna" + "x" * 200, "page"), "a", "one\x00\r\ntwo" * 900)
    (note,) = store.reader.notes("a")
    assert note.who.startswith("an[31mna")
    assert len(note.who) == 80
    assert note.text.startswith("one\ntwo")
    assert len(note.text) == MAX_TEXT


def test_notes_are_written_while_a_monitor_writes(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    before = store.reader.judging_version()
    writer = HistoryWriter(store.path)
    writer.open()
    try:
        actions.acknowledge(store, ANNA, "a")
        writer.update_event("a", headline="louder")
        assert writer.flush()
    finally:
        writer.close()
    event = store.event("a")
    assert (event.acknowledged, event.headline) == (True, "louder")
    assert store.reader.judging_version() > before


def test_a_history_that_is_locked_is_an_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path, make_event("a"))
    monkeypatch.setattr("asd_monitor.history.database.BUSY_TIMEOUT_S", 0.05)
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="nothing was changed"):
            actions.acknowledge(store, ANNA, "a")
        other.execute("ROLLBACK")
    other.close()
    actions.acknowledge(store, ANNA, "a")
    assert len(store.reader.audit()) == 1
