"""Full disks, kills, restarts and other writers: nothing that was stored is lost."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from asd_monitor.history import writer as writer_module
from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.database import BUSY_TIMEOUT_S, open_to_write
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import NoteKind
from asd_monitor.history.store import Store
from asd_monitor.history.write_queue import WriteQueue
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import State
from tests.rig.full_disk import small_disk
from tests.rig.history import AT_S, change, score_at, writing
from tests.rig.mosquitto import wait_until

KILLED_WRITER = """
import sys
from pathlib import Path
from asd_monitor.history.writer import HistoryWriter
from tests.rig.history import AT_S, change, score_at
from asd_monitor.records import State

writer = HistoryWriter(Path(sys.argv[1]))
writer.open()
writer.record(change(State.ALARM, AT_S, "e1"))
second = 0
while True:
    writer.record(score_at(AT_S + second))
    second += 1
    if second % 50 == 0 and writer.flush():
        print(second, flush=True)
"""


def test_a_full_disk_stops_the_history_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_S", 0.05)
    caplog.set_level(logging.INFO)
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        writer = HistoryWriter(disk / "history.db", queue=WriteQueue(max_scores=500))
        writer.open()
        for second in range(200):
            writer.record(score_at(AT_S + second))
        assert writer.flush()
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(b"\0" * 2_000_000)
        sent = 200
        while writer.is_writing:  # the log of the database has some room left
            writer.record(score_at(AT_S + sent))
            sent += 1
            writer.flush(0.02)
        for second in range(sent, sent + 1000):
            writer.record(score_at(AT_S + second))
        writer.record(change(State.ALARM, AT_S + sent + 1000, "e1"))
        assert writer.dropped > 0
        assert not writer.flush(0.2)
        filler.unlink()
        wait_until(lambda: writer.is_writing and writer.queue_depth() == 0, "room")
        writer.close()
        reader = HistoryReader(disk / "history.db")
        rows = reader.scores("pump", AT_S, AT_S + 10_000)
        assert len(rows) + writer.dropped == sent + 1000
        assert rows[-1].at_s == AT_S + sent + 999
        assert [event.id for event in reader.events(open=True)] == ["e1"]
        reader.close()
    assert caplog.text.count("history: not written") == 1
    assert "history: written again" in caplog.text


def test_a_kill_loses_nothing_that_was_written(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / str(number) / "history.db"
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER, path], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                written = int([process.stdout.readline() for _ in range(20)][-1])
            finally:
                process.send_signal(signal.SIGKILL)
            later = process.stdout.read().split()
        written = int(later[-1]) if later else written
        with writing(path) as writer:
            assert writer.open_events() == {"pump": "e1"}
            reader = HistoryReader(path)
            assert len(reader.scores("pump", AT_S, AT_S + 1e6)) >= written
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_minutes_that_a_kill_interrupted_are_summarised_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    store = Store(open_to_write(path), {}, lambda: AT_S)
    store.write([score_at(AT_S + second) for second in range(90)])
    store.connection.close()  # without an end, as after a kill
    with writing(path) as writer:
        writer.record(score_at(AT_S + 200))
        assert writer.flush()
    minutes = HistoryReader(path).minutes("pump", AT_S, AT_S + 600)
    assert [minute.windows for minute in minutes] == [60, 30, 1]


def test_an_event_continues_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path) as writer:
        tracker = CaseTracker(writer.open_events)
        writer.record(tracker.assign(change(State.WARNING, AT_S)))
    with writing(path) as writer:
        tracker = CaseTracker(writer.open_events)
        for state, second in ((State.UNKNOWN, 50), (State.ALARM, 60), (State.NORMAL, 90)):
            writer.record(tracker.assign(change(state, AT_S + second)))
    reader = HistoryReader(path)
    (event,) = reader.events()
    assert (event.opened_s, event.closed_s, event.peak_state) == (AT_S, AT_S + 90, State.ALARM)
    assert reader.notes(event.id) == []


def test_an_event_that_was_over_after_a_restart_is_closed_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path) as writer:
        tracker = CaseTracker(writer.open_events)
        writer.record(tracker.assign(change(State.ALARM, AT_S)))
    with writing(path) as writer:
        tracker = CaseTracker(writer.open_events)
        writer.record(tracker.assign(change(State.UNKNOWN, AT_S + 5000)))
        writer.record(tracker.assign(change(State.NORMAL, AT_S + 5010)))
    reader = HistoryReader(path)
    (event,) = reader.events(open=False)
    (note,) = reader.notes(event.id)
    assert (event.closed_s, note.who, note.kind) == (AT_S + 5010, "asd-monitor", NoteKind.COMMENT)
    assert "found it normal when it started again" in note.text


def test_a_machine_has_one_open_event(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path) as writer:
        writer.record(change(State.ALARM, AT_S, "e1"))
    with writing(path) as writer:  # of a run that could not read which events were open
        writer.record(change(State.ALARM, AT_S + 100, "e2"))
    reader = HistoryReader(path)
    assert [event.id for event in reader.events(open=True)] == ["e2"]
    assert [note.text for note in reader.notes("e1")] == ["closed because e2 began"]


def test_the_time_between_two_runs_was_not_monitored(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for start in (0, 1000):
        with writing(path) as writer:
            writer.record(change(State.NORMAL, AT_S + start))
            writer.record(score_at(AT_S + start + 100))
    seconds = HistoryReader(path).time_in_state("pump", AT_S, AT_S + 2000)
    assert seconds == {State.NORMAL: 200.0}


def test_the_command_line_adds_notes_while_a_monitor_writes(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    program = (
        "import sys; from pathlib import Path\n"
        "from asd_monitor.history.records import NoteKind\n"
        "from asd_monitor.judging.store import Author, JudgingStore\n"
        "store, kim = JudgingStore(Path(sys.argv[1]).parent), Author('Kim', 'command line')\n"
        "for n in range(100):\n"
        "    store.add_note(store.event('e1'), kim, NoteKind.COMMENT, str(n))\n"
    )
    with writing(path) as writer:
        writer.record(change(State.ALARM, AT_S, "e1"))
        assert writer.flush()
        with subprocess.Popen([sys.executable, "-c", program, path]) as process:
            second = 0
            while process.poll() is None:
                writer.record(score_at(AT_S + second))
                assert writer.flush(2 * BUSY_TIMEOUT_S)
                second += 1
        assert process.returncode == 0
        assert writer.dropped == 0
    reader = HistoryReader(path)
    assert [note.text for note in reader.notes("e1")] == [str(n) for n in range(100)]
    assert len(reader.scores("pump", AT_S, AT_S + 1e6)) == second


def test_a_reader_follows_to_a_new_file(tmp_path: Path) -> None:
    path, other = tmp_path / "history.db", tmp_path / "other.db"
    for target, machine in ((path, "pump"), (other, "fan")):
        with writing(target) as writer:
            writer.record(score_at(AT_S, machine=machine))
    reader = HistoryReader(path)
    assert reader.machines() == ["pump"]
    os.replace(other, path)
    assert reader.machines() == ["fan"]
