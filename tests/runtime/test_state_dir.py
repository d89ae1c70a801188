"""The state folder: its location, its layout, and the lock of each machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from asd_monitor.config import check_machine_name
from asd_monitor.errors import ConfigError, StateError
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.full_disk import max_file_size

HOLD = """
import sys
from pathlib import Path
from asd_monitor.runtime.state_dir import StateFolder
with StateFolder(Path(sys.argv[1])).lock("pump"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("path", "environ", "expected"),
    [
        (Path("/data"), {"STATE_DIRECTORY": "/var/lib/asd-monitor"}, "/data"),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        (None, {"XDG_STATE_HOME": "/x"}, "/x/asd-monitor"),
        (None, {}, str(Path("~/.local/state/asd-monitor").expanduser())),
    ],
)
def test_the_folder_is_found_in_a_fixed_order(
    path: Path | None, environ: dict[str, str], expected: str
) -> None:
    assert str(StateFolder.locate(path, environ).root) == expected


def test_models_and_recordings_have_fixed_paths() -> None:
    state = StateFolder(Path("/s"))
    assert str(state.model_path("pump-7")) == "/s/models/pump-7.asd"
    assert str(state.recordings_path("pump-7")) == "/s/recordings/pump-7/train"


@pytest.mark.parametrize(
    "name", ["", "..", ".x", "a/b", "a b", "a\0b", "x" * 65, "pümp", "a+", "#"]
)
def test_names_that_cannot_be_a_folder_or_a_topic_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 64 letters"):
        check_machine_name(name)


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        message = f"already monitored by process {first.pid}"
        with pytest.raises(StateError, match=message), state.lock("pump"):
            pytest.fail("two processes hold one machine")
        with state.lock("fan"):
            pass
        first.kill()
        first.wait()
    with state.lock("pump"):
        pass


def test_an_unfinished_model_file_is_removed_at_the_next_start(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    models = state.make(tmp_path / "models")
    unfinished = models / ".pump.asd.4711.unfinished"
    others = [
        models / name
        for name in ("pump.asd", ".fan.asd.1.unfinished", ".pump.asd.b.asd.1.unfinished")
    ]
    for path in (unfinished, *others):
        path.write_text("model")
    with state.lock("pump"):
        assert sorted(models.iterdir()) == sorted(others)


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with (
        max_file_size(0),
        pytest.raises(StateError, match=r"pump.lock: cannot be locked: File too large"),
        state.lock("pump"),
    ):
        pass
    with state.lock("pump"):
        assert (tmp_path / "locks" / "pump.lock").read_text()


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = StateFolder(tmp_path / "file")
    with pytest.raises(StateError, match="cannot be created: Not a directory; use --state-dir"):
        state.make(state.root / "models")
