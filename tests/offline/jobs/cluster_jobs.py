"""Jobs for a cluster, which its workers import from here."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.jobs.pool import Tick
from asd_offline.jobs.result_file import write_result


@dataclass(frozen=True)
class HoldLock:
    """Hold a lock forever."""

    folder: Path
    number: int = 0
    work: float = 1.0

    @property
    def result(self) -> Path:
        return self.folder / f"result-{self.number}"

    def run(self, tick: Tick) -> None:
        with (self.folder / f"lock-{self.number}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self.folder / f"working-{self.number}").touch()
            while True:
                tick(0.0)


@dataclass(frozen=True)
class Fail:
    """Fail as a job does whose clips cannot be read."""

    result: Path
    work: float = 1.0

    def run(self, tick: Tick) -> None:
        raise DatasetError("clip.wav: damaged")


@dataclass(frozen=True)
class WriteFolder:
    """Write the working folder, and report half of the work before."""

    result: Path
    work: float = 2.0

    def run(self, tick: Tick) -> None:
        tick(1.0)
        write_result(self.result, os.getcwd())
