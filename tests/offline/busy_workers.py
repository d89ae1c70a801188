"""A process whose workers never finish; each holds a lock on a file until it ends."""

import fcntl
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asd_monitor.progress import NoProgress
from asd_offline.jobs.pool import JobPool, Tick
from asd_offline.synth.writer import run_jobs

WORKERS = 2


def hold_lock(folder: Path, number: int) -> None:
    """Take lock ``number`` and work forever."""
    with (folder / f"lock-{number}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"working-{number}").touch()
        while True:
            sum(range(10_000))


@dataclass(frozen=True)
class HoldLock:
    """The same as a job of replay and compare."""

    folder: Path
    number: int
    work: float = 1.0

    @property
    def result(self) -> Path:
        return self.folder / f"result-{self.number}"

    def run(self, tick: Tick) -> None:
        hold_lock(self.folder, self.number)


def main(kind: str, folder: Path) -> None:
    if kind == "replay":
        with JobPool(WORKERS) as pool:
            pool.run([HoldLock(folder, number) for number in range(WORKERS)], lambda done: None)
    else:  # jobs are handed over in groups of four: one worker gets 0 to 3, the other 4 to 7
        jobs = list(range(4 * WORKERS))
        run_jobs(partial(hold_lock, folder), jobs, NoProgress(), WORKERS)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
