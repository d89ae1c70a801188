"""A file that cannot be used is set aside, and never lost or fatal."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from asd_monitor.outbox import database
from asd_monitor.outbox.rows import Lane
from asd_monitor.storage.database_files import list_set_aside
from tests.rig.outbox import Clock, Report, crash, draft, make_outbox, put, send_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An outbox in which 300 messages wait."""
    path = tmp_path / "outbox.db"
    outbox = make_outbox(path)
    put(outbox, *map(draft, range(300)))
    outbox.close()
    return path


def damage_header(path: Path) -> None:
    path.write_bytes(b"random bytes" * 1000)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:16384] = bytes(range(256)) * 32
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10_000])


def replace_by_another_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE message (id)")
    connection.close()


@pytest.mark.parametrize(
    "damage", [damage_header, damage_middle, cut_short, replace_by_another_database]
)
def test_a_damaged_outbox_is_set_aside_and_a_new_one_begins(path: Path, damage: object) -> None:
    damage(path)  # type: ignore[operator]
    content = path.read_bytes()
    report = Report()
    outbox = make_outbox(path, report, Clock(1_900_000_000.0))
    assert not outbox.is_degraded
    assert report.files_set_aside == 1
    (aside,) = list_set_aside(path)
    assert aside.read_bytes() == content
    put(outbox, draft(0, Lane.EVENT))
    outbox.connect()
    put(outbox)
    assert send_all(outbox)[-1][:3] == ("plant", outbox.epoch, 0)
    outbox.close()


def test_damage_that_is_met_later_does_not_stop_the_delivery(path: Path) -> None:
    report = Report()
    outbox = make_outbox(path, report)
    store = outbox._file.store
    assert store is not None
    store._connection.execute("UPDATE message SET payload = x'00' WHERE id % 7 = 3")
    outbox.connect()
    put(outbox, draft(300))
    put(outbox)
    put(outbox, draft(301))
    assert report.files_set_aside == 1
    assert [seq for _, _, seq, _ in send_all(outbox)][-2:] == [0, 1]
    outbox.close()


def test_an_outbox_of_a_newer_version_is_set_aside_and_sent_by_that_version_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {3: "ALTER TABLE message ADD COLUMN more INTEGER NOT NULL DEFAULT 0;"}
    later = replace(database.SCHEMA, version=3, migrations=steps)
    monkeypatch.setattr(database, "SCHEMA", later)
    sqlite3.connect(path).execute("PRAGMA journal_mode = DELETE").close()
    upgraded = database.open_outbox(path)
    assert upgraded.execute("SELECT count(*), sum(more) FROM message").fetchone() == (300, 0)
    upgraded.close()
    monkeypatch.undo()
    report = Report()
    downgraded = make_outbox(path, report)
    assert (report.files_set_aside, downgraded.waiting_scores) == (1, 0)
    downgraded.close()
    (aside,) = list_set_aside(path, "newer")
    assert sqlite3.connect(aside).execute("SELECT count(*) FROM message").fetchone() == (300,)


def test_what_waits_in_an_outbox_of_the_version_before_is_sent(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE resend DROP COLUMN acked_since_ms")
        connection.execute("PRAGMA user_version = 1")
    outbox = make_outbox(path)
    outbox.connect()
    put(outbox)
    assert len(send_all(outbox)) == 300
    outbox.close()
    with closing(database.open_to_read(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == database.SCHEMA.version


def test_every_copy_of_a_running_outbox_opens_with_all_that_was_synchronised(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "outbox.db", Clock()
    outbox = make_outbox(path, clock=clock)
    for number in range(40):
        put(outbox, draft(number, Lane.EVENT))
        outbox.maintain()
        copy = tmp_path / f"copy-{number}" / "outbox.db"
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
        state = make_outbox(copy)
        assert state.waiting_events == number + 1
        state.close()
        clock.now_s += 11.0
    crash(outbox)
