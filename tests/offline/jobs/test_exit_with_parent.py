"""Worker processes end when their parent is killed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.rig.paths import ROOT


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_free(lock: Path) -> bool:
    with lock.open("r+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.mark.parametrize("kind", ["replay", "synth"])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "tests.offline.busy_workers", kind, str(tmp_path)]
    parent = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        assert wait_until(
            lambda: len(list(tmp_path.glob("working-*"))) == 2 or parent.poll() is not None
        )
        parent.kill()
        parent.wait()
        locks = list(tmp_path.glob("lock-*"))
        assert len(locks) == 2
        assert wait_until(lambda: all(is_free(lock) for lock in locks))
    finally:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(parent.pid, signal.SIGKILL)
