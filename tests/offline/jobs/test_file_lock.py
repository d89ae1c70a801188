"""Whoever has a folder's lock has it alone; what prevents locking is told as what it is."""

import errno
import fcntl
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.jobs.file_lock import held

TAKEN = "another download into this folder is running"


def test_a_folder_has_one_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, DatasetError, TAKEN), pytest.raises(DatasetError, match=TAKEN):
        held(path, DatasetError, TAKEN).__enter__()
    with held(path, DatasetError, TAKEN):
        pass


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DatasetError, match="cannot be locked: No locks available"):
        held(tmp_path / "lock", DatasetError, TAKEN).__enter__()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written: No such file"):
        held(tmp_path / "gone" / "lock", DatasetError, TAKEN).__enter__()
