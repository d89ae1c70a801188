"""The doctor reports a history that is damaged, newer, or was set aside."""

import sqlite3
from contextlib import closing
from pathlib import Path

from asd_monitor.config import from_options
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.history import check_history
from asd_monitor.history.database import FILE_NAME
from tests.rig.history import AT_S, score_at, writing


def findings(state: Path, **options: object) -> list[Finding]:
    settings = {"machines": {"pump": {"mic": 0}}, "state_dir": str(state), **options}
    return check_history(Context(from_options(settings)))


def store(path: Path, seconds: int) -> None:
    with writing(path) as writer:
        for second in range(seconds):
            writer.record(score_at(AT_S + second))


def test_a_history_that_is_off_or_not_there_yet_is_no_problem(tmp_path: Path) -> None:
    (off,) = findings(tmp_path, history="off")
    (absent,) = findings(tmp_path)
    assert (off.status, absent.status) == (Status.OK, Status.OK)
    assert "will be created" in absent.message


def test_an_intact_history_is_reported_with_its_size(tmp_path: Path) -> None:
    store(tmp_path / FILE_NAME, 100)
    (found,) = findings(tmp_path)
    assert found.status is Status.OK
    assert "MB, intact" in found.message


def test_damage_inside_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store(path, 5000)
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff" * 50_000)
    (found,) = findings(tmp_path)
    assert (found.status, found.exit_code) == (Status.FAILED, 7)
    assert "is damaged" in found.message
    assert "restore a backup" in found.hint


def test_a_file_that_is_no_database_is_found(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"text" * 1000)
    (found,) = findings(tmp_path)
    assert found.status is Status.FAILED


def test_a_newer_history_is_found(tmp_path: Path) -> None:
    store(tmp_path / FILE_NAME, 1)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")
    (found,) = findings(tmp_path)
    assert found.status is Status.FAILED
    assert "install the newer program" in found.hint


def test_a_damaged_file_that_was_set_aside_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"text" * 1000)
    store(tmp_path / FILE_NAME, 1)
    aside, present = findings(tmp_path)
    assert (aside.status, present.status) == (Status.WARNING, Status.OK)
    assert "history.db.damaged-" in aside.message
