"""``forget`` deletes what was recorded of one machine, and nothing of others."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import StateError
from asd_monitor.history.database import FILE_NAME, open_to_read
from asd_monitor.records import State
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.history import AT_S, change, score_at, writing

OLD_ID, NEW_ID = "20260101T000000-pump-aaaa", "20261101T000000-pump-bbbb"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with writing(tmp_path / FILE_NAME) as writer:
        for machine in ("pump", "pump-2"):
            writer.record(score_at(AT_S, machine=machine))
            writer.record(change(State.ALARM, AT_S, f"e-{machine}-1", machine=machine))
    files = [
        f"recordings/{machine}/train/normal_id_00_0000000{n}.wav"
        for machine in ("pump", "pump-2")
        for n in (0, 1)
    ]
    files += [f"events/{id_}/clip.flac" for id_ in (OLD_ID, NEW_ID, "20260101T000000-pump-2-cccc")]
    files += ["archived-recordings/pump-20260101T000000Z/a.wav", "models/pump.asd"]
    files += ["archived-recordings/pump-2-20260101T000000Z/a.wav", "alarms/pump.json"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    os.utime(tmp_path / files[0], (1e9, 1e9))
    return tmp_path


def run(root: Path, *arguments: str, answer: str | None = None) -> str:
    command = ["forget", "pump", "--state-dir", str(root), *arguments]
    done = CliRunner().invoke(create_app(), command, input=answer, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def stored(root: Path) -> set[str]:
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith(("history", "locks"))}


def rows(root: Path, table: str) -> int:
    with closing(open_to_read(root / FILE_NAME)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def test_nothing_is_deleted_without_confirmation(root: Path) -> None:
    before = stored(root)
    output = run(root, answer="n\n")
    assert OLD_ID in output
    assert "Nothing was deleted" in output
    assert stored(root) == before
    assert rows(root, "score") == 2


def test_everything_of_the_machine_is_deleted_and_nothing_of_others(root: Path) -> None:
    others = {name for name in stored(root) if "pump-2/" in name or "pump-2-" in name}
    run(root, "--yes")
    assert stored(root) == others | {"models/pump.asd"}
    assert [rows(root, table) for table in ("score", "event", "state_span")] == [1, 1, 1]
    run(root, "--yes", "--models")
    assert stored(root) == others
    assert "nothing is stored" in run(root, "--yes")


def test_only_what_is_older_than_a_date_is_deleted(root: Path) -> None:
    before = stored(root)
    run(root, "--yes", "--before", "2026-06-01")
    assert before - stored(root) == {
        "recordings/pump/train/normal_id_00_00000000.wav",
        f"events/{OLD_ID}/clip.flac",
        "archived-recordings/pump-20260101T000000Z/a.wav",
    }
    assert rows(root, "score") == 2


def test_a_machine_that_is_monitored_is_refused(root: Path) -> None:
    with StateFolder(root).lock("pump"), pytest.raises(StateError, match="already monitored"):
        run(root, "--yes")
