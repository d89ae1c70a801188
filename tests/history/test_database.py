"""The file: upgraded from every version, refused if newer, set aside if damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asd_monitor.errors import StateError
from asd_monitor.history.codes import QUALITY_CODES, STATE_CODES
from asd_monitor.history.database import open_to_read, open_to_write
from asd_monitor.history.migrations import APPLICATION_ID, MIGRATIONS, VERSION
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import Quality, State
from asd_monitor.storage.database_files import list_set_aside
from tests.rig.history import AT_S, change, score_at, writing

FIRST_SCHEMA = Path(__file__).with_name("schema_1.sql")


def make_first_version(path: Path) -> None:
    """Write a database as the first version of the program did, with one score and one event."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_SCHEMA.read_text())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO machine (id, name, created_ms) VALUES (7, 'pump', 0)")
        score = (7, int(AT_S * 1000), 2.5, -30.0, 0, 5, 0, 0, None)
        connection.execute("INSERT INTO score VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", score)
        connection.execute(
            "INSERT INTO event (id, machine_id, opened_ms, peak_state) "
            "VALUES ('e1', 7, 1000, 'ALARM')"
        )
        connection.commit()


def schema_of(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {(name, " ".join(sql.split())) for name, sql in rows}


def test_every_version_has_a_migration() -> None:
    assert set(MIGRATIONS) == set(range(2, VERSION + 1))


def test_a_database_of_the_first_version_is_upgraded_with_its_content(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_first_version(old)
    open_to_write(old).close()
    open_to_write(new).close()
    assert schema_of(old) == schema_of(new)
    reader = HistoryReader(old)
    (row,) = reader.scores("pump", 0, 2 * AT_S)
    assert (row.at_s, row.value, row.state) == (AT_S, 2.5, State.ALARM)
    assert [event.id for event in reader.events(open=True)] == ["e1"]


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    make_first_version(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE token")  # which the upgrade removes
    before = schema_of(path)
    with pytest.raises(sqlite3.OperationalError):
        open_to_write(path)
    assert schema_of(path) == before


def test_reading_an_older_version_says_what_upgrades_it(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    make_first_version(path)
    with pytest.raises(StateError, match="it is upgraded when `asd-monitor run` starts"):
        open_to_read(path)


def test_a_newer_database_is_refused_and_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    with writing(path) as writer:
        writer.record(score_at(AT_S))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with writing(path) as writer:
        writer.record(score_at(AT_S + 1))
        writer.flush()
        assert not writer.is_writing
    assert writer.dropped == 1
    assert path.read_bytes() == before
    assert "written by a newer asd-monitor" in caplog.text
    with pytest.raises(StateError, match="install the newer program"):
        HistoryReader(path).machines()


@pytest.mark.parametrize("content", [b"no database" * 1000, "other database", "cut short"])
def test_a_damaged_file_is_set_aside_and_counted(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "history.db"
    if content == "other database":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE other (x)")
    elif content == "cut short":
        with writing(path) as writer:
            writer.record(score_at(AT_S))
        path.write_bytes(path.read_bytes()[:6000])
    else:
        path.write_bytes(bytes(content))  # type: ignore[arg-type]
    before, counts = path.read_bytes(), list[tuple[str, int]]()
    writer = HistoryWriter(path, count=lambda kind, number: counts.append((kind, number)))
    writer.open()
    writer.record(score_at(AT_S + 1))
    assert writer.flush()
    writer.close()
    (aside,) = list_set_aside(path)
    assert aside.read_bytes() == before
    assert counts == [("set_aside", 1), ("written", 1)]
    assert len(HistoryReader(path).scores("pump", 0, 2 * AT_S)) == 1


def test_damage_while_writing_begins_a_new_file_with_the_present_state(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path) as writer:
        writer.record(change(State.ALARM, AT_S, "e1", "loud"))
        assert writer.flush()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(b"\0" * path.stat().st_size)
        writer.record(score_at(AT_S + 1))
        writer.record(score_at(AT_S + 2))
        assert writer.flush()
        reader = HistoryReader(path)
        assert len(reader.scores("pump", AT_S, AT_S + 10)) == 2
        assert [event.id for event in reader.events(open=True)] == ["e1"]
        assert [span.state for span in reader.spans("pump", AT_S, AT_S + 10)] == [State.ALARM]
    assert len(list_set_aside(path)) == 1


def test_only_a_few_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for number in range(5):
        path.write_bytes(f"no database {number}".encode() * 1000)
        with writing(path):
            pass
    assert len(list_set_aside(path)) == 3


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with writing(path):
        modes = {file.stat().st_mode & 0o777 for file in tmp_path.glob("history.db*")}
    assert modes == {0o600}


def test_a_missing_history_says_when_it_begins(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="there is no history yet; it begins when"):
        HistoryReader(tmp_path / "history.db").machines()


def test_every_state_and_quality_can_be_stored() -> None:
    assert set(STATE_CODES) == set(State)
    assert set(QUALITY_CODES) == set(Quality)
