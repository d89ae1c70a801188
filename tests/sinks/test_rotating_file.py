"""A file of lines across rotations by the program, by another program, and by failures."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asd_monitor.errors import SinkError
from asd_monitor.sinks.rotating_file import RotatingFile, Rotation
from tests.rig.full_disk import max_file_size

DAY_S = 86_400.0


class Clock:
    """A clock that is set by hand."""

    now = 1000 * DAY_S

    def __call__(self) -> float:
        return self.now


def rotating(path: Path, clock: Clock | None = None, max_bytes: int = 10_000) -> RotatingFile:
    """Return an open file that keeps three older ones."""
    rotation = Rotation(max_bytes=max_bytes, max_age_s=DAY_S, kept=3)
    file = RotatingFile(path, rotation, setting="log.scores", clock=clock or Clock())
    file.open()
    return file


def line(number: int) -> bytes:
    return b"%04d\n" % number


def numbers(*paths: Path) -> list[int]:
    """Return the numbers of the lines, all of which must be whole."""
    content = b"".join(path.read_bytes() for path in paths)
    assert not content or content.endswith(b"\n")
    return [int(text) for text in content.splitlines()]


def test_a_file_is_rotated_by_size_and_the_newest_lines_are_kept(tmp_path: Path) -> None:
    file = rotating(tmp_path / "f", max_bytes=20)
    for number in range(35):
        file.append(line(number))
    paths = [tmp_path / name for name in ("f.3", "f.2", "f.1", "f")]
    assert numbers(*paths) == list(range(20, 35))
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert max(path.stat().st_size for path in paths) == 20


def test_a_file_is_rotated_by_age_also_across_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "f", Clock()
    file = rotating(path, clock)
    file.append(line(0))
    clock.now += DAY_S
    file.append(line(1))
    assert numbers(tmp_path / "f.1") == [0]
    file.close()
    os.utime(path, (clock.now, clock.now))
    clock.now += DAY_S
    file = rotating(path, clock)
    file.append(line(2))
    assert numbers(tmp_path / "f.2", tmp_path / "f.1", path) == [0, 1, 2]
    clock.now -= 10 * DAY_S  # the clock was corrected
    file.append(line(3))
    assert numbers(path) == [2, 3]


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "moved"])
def test_after_a_rotation_by_another_program_lines_go_to_the_new_file(
    tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "f"
    file = rotating(path)
    file.append(line(0))
    path.rename(tmp_path / "old")
    if replaced:
        path.touch()
    file.append(line(1))
    assert numbers(tmp_path / "old") == [0]
    assert numbers(path) == [1]


def test_a_deleted_file_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = rotating(path)
    file.append(line(0))
    path.unlink()
    file.append(line(1))
    assert numbers(path) == [1]


def test_lines_follow_each_other_after_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = rotating(path)
    file.append(line(0))
    path.write_bytes(b"")
    file.append(line(1))
    assert numbers(path) == [1]


def test_a_second_writer_is_refused_in_another_process_too(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = rotating(path, max_bytes=5)
    for number in range(3):  # the lock moves to each new file
        file.append(line(number))
        with pytest.raises(SinkError, match=r"log\.scores: another process writes to .*/f;"):
            rotating(path)
    code = (
        "import sys, pathlib\nfrom tests.sinks.test_rotating_file import rotating\n"
        "rotating(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "SinkError" in done.stderr
    file.close()
    rotating(path).append(line(3))


def test_a_line_that_was_cut_by_a_power_failure_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0000\n00")
    rotating(path).append(line(1))
    assert path.read_bytes() == b"0000\n00\n0001\n"


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = rotating(path)
    file.append(line(0))
    with max_file_size(8), pytest.raises(OSError, match="3 of 5 bytes could be written"):
        file.append(line(1))
    file.append(line(2))
    assert numbers(path) == [0, 2]


def test_a_disk_that_is_full_at_the_start_is_not_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        file = rotating(tmp_path / "f")
        with pytest.raises(OSError, match="No space left"):
            file.append(line(0))
    file.append(line(1))
    assert numbers(tmp_path / "f") == [1]


def test_a_folder_that_does_not_allow_a_rotation_loses_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f"
    file = rotating(path, max_bytes=10)
    (tmp_path / "f.1" / "in the way").mkdir(parents=True)
    (tmp_path / "f.2").write_bytes(b"")
    (tmp_path / "f.3").mkdir()
    for number in range(5):
        file.append(line(number))
    assert numbers(path) == list(range(5))
    assert sum("cannot be rotated" in record.message for record in caplog.records) == 1


def test_an_interrupted_rotation_is_completed_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = rotating(path, max_bytes=5)
    file.append(line(1))
    (tmp_path / "f.2").write_bytes(line(0))  # f.1 was moved there; then the power failed
    file.append(line(2))
    assert numbers(tmp_path / "f.2", tmp_path / "f.1", path) == [0, 1, 2]
