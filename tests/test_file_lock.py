"""A file lock has one holder; what prevents locking is reported as what it is."""

import errno
import fcntl
import os
from pathlib import Path
from threading import Thread

import pytest

from asd_monitor.errors import DatasetError
from asd_monitor.file_lock import file_lock

TAKEN = "another download into this folder is running"


def test_a_folder_has_one_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, DatasetError, TAKEN), pytest.raises(DatasetError, match=TAKEN):
        file_lock(path, DatasetError, TAKEN).__enter__()
    with file_lock(path, DatasetError, TAKEN):
        pass


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DatasetError, match="cannot be locked: No locks available"):
        file_lock(tmp_path / "lock", DatasetError, TAKEN).__enter__()


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written: No such file"):
        file_lock(tmp_path / "gone" / "lock", DatasetError, TAKEN).__enter__()


def test_the_holder_is_named_by_its_process_id(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        file_lock(path, DatasetError, TAKEN),
        pytest.raises(DatasetError, match=f"held by {os.getpid()}"),
    ):
        file_lock(path, DatasetError, "held by {holder}").__enter__()


def test_waiting_for_a_lock_ends_when_its_holder_leaves(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", list[str]()

    def second() -> None:
        with file_lock(path, DatasetError, TAKEN, wait=True):
            order.append("second")

    with file_lock(path, DatasetError, TAKEN):
        thread = Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
