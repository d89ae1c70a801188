"""Old scores are removed by age and by size; events and notes never are."""

from pathlib import Path

import pytest

from asd_monitor.history.database import open_to_write
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import EventNote, NoteKind
from asd_monitor.history.retention import Retention
from asd_monitor.history.settings import HistorySettings
from asd_monitor.records import State
from tests.rig.history import AT_S, change, score_at, writing

DAY_S = 86_400.0
NOW_MS = int(AT_S * 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of five days with a score every ten minutes, an old event and a note."""
    path = tmp_path / "history.db"
    with writing(path, HistorySettings(scores_days=1000, minutes_days=1000)) as writer:
        writer.record(change(State.ALARM, AT_S - 5 * DAY_S, "e1"))
        writer.record(change(State.NORMAL, AT_S - 4.5 * DAY_S, "e1"))
        for number in range(5 * 144):
            for machine in ("pump", "fan"):
                writer.record(score_at(AT_S - 5 * DAY_S + 600 * number, machine=machine))
        writer.add_note(EventNote("e1", AT_S - 4 * DAY_S, "Kim", NoteKind.ACK))
        assert writer.flush()
    return path


def remove_all(path: Path, settings: HistorySettings) -> None:
    """Remove what is too old or too much, in as many steps as it takes."""
    connection = open_to_write(path)
    retention = Retention(connection, settings)
    for _ in range(2000):
        if not retention.step(NOW_MS):
            break
    else:
        raise AssertionError("it never ends")
    connection.close()


def test_scores_and_minutes_are_removed_by_their_age(path: Path) -> None:
    remove_all(path, HistorySettings(scores_days=1, minutes_days=3))
    reader = HistoryReader(path)
    for machine in reader.machines():
        assert reader.scores(machine, 0, AT_S)[0].at_s == AT_S - DAY_S
        assert reader.minutes(machine, 0, AT_S)[0].start_s == AT_S - 3 * DAY_S
        assert reader.hours(machine, 0, AT_S)[0].start_s == AT_S - 3 * DAY_S
    assert reader.spans("pump", 0, AT_S)[0].state is State.NORMAL


def test_events_and_notes_are_kept(path: Path) -> None:
    remove_all(path, HistorySettings(scores_days=1e-9, minutes_days=1e-9, max_mb=1))
    reader = HistoryReader(path)
    assert [event.id for event in reader.events()] == ["e1"]
    assert [note.who for note in reader.notes("e1")] == ["Kim"]


def test_a_step_removes_little_so_that_scores_do_not_wait(path: Path) -> None:
    connection = open_to_write(path)
    removed = Retention(connection, HistorySettings(scores_days=1, minutes_days=1000)).step(NOW_MS)
    connection.close()
    assert 0 < removed <= 2 * 7


def test_the_oldest_scores_of_a_full_database_are_removed_before_minutes(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path, HistorySettings(scores_days=1000)) as writer:
        for second in range(30_000):
            writer.record(score_at(AT_S + second))
        assert writer.flush(60)
    before = path.stat().st_size
    remove_all(path, HistorySettings(scores_days=1000, minutes_days=1000, max_mb=1))
    reader = HistoryReader(path)
    assert path.stat().st_size <= 1e6 < before
    first = reader.scores("pump", 0, 2 * AT_S)[0]
    assert first.at_s > AT_S
    assert reader.scores("pump", 0, 2 * AT_S)[-1].at_s == AT_S + 29_999
    assert reader.minutes("pump", 0, 2 * AT_S)[0].start_s == AT_S


def test_the_writer_removes_old_scores_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path, HistorySettings(scores_days=1)) as writer:
        writer.record(score_at(AT_S - 2 * DAY_S))
        writer.record(score_at(AT_S))
        assert writer.flush()
    assert [row.at_s for row in HistoryReader(path).scores("pump", 0, 2 * AT_S)] == [AT_S]
