"""Do independent jobs on all cores; stopped at any moment, nothing that was finished is lost.

A job is a picklable value that writes one result file, whole or not at all. Jobs whose result is
there are not done again, which is all there is to resuming.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

from asd_monitor.errors import AsdMonitorError
from asd_offline.jobs.exit_with_parent import end_with_parent

Tick = Callable[[float], None]
"""Called by a job with the work done since the last call, in the unit of ``Job.work``."""

POLL_S = 0.2


class Job(Protocol):
    """A piece of work that another process can do."""

    @property
    def result(self) -> Path:
        """File that is there once the job is done."""

    @property
    def work(self) -> float:
        """How much there is to do, in a unit that all jobs share."""

    def run(self, tick: Tick) -> None:
        """Do it and write :attr:`result`; ``tick`` may raise to stop it."""


class Stopped(Exception):  # noqa: N818 - it is no error: the user has stopped the work
    """Raised inside a job when the work is to stop."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class JobPool:
    """Processes that do jobs; with one job at a time, this process alone.

    Parameters
    ----------
    workers
        How many jobs run at the same time.
    preload
        Modules that workers share because they are imported once, before the first is started.
    """

    def __init__(self, workers: int, preload: Sequence[str] = ("torch",)) -> None:
        self._workers = workers
        # Workers are forked from a server that has imported torch and done nothing with it: that
        # is as safe as a fresh process, starts once for all, and they share torch's memory.
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._done = self._context.Value("d", 0.0)
        self._stop = self._context.Event()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; jobs that run give up at their next tick."""
        self._stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def run(
        self, jobs: Sequence[Job], progress: Callable[[float], None], at_once: int | None = None
    ) -> None:
        """Do all jobs that have no result yet, in their order as far as workers are free.

        Parameters
        ----------
        jobs
            What is to be done.
        progress
            Called now and then with the work that is done since the call began.
        at_once
            How many may run at the same time, where each needs much memory; None: all workers.

        Raises
        ------
        AsdMonitorError
            Whatever a job raises; or if a worker process dies.
        """
        left = [job for job in jobs if not is_done(job)]
        if self._workers == 1 or (len(left) <= 1 and self._executor is None):
            self._run_here(left, progress)
        elif left:
            # Few are handed over at a time, so that little is left to cancel.
            self._run_there(left, progress, at_once or 2 * self._workers)

    def _run_here(self, jobs: Sequence[Job], progress: Callable[[float], None]) -> None:
        done = 0.0

        def tick(work: float) -> None:
            nonlocal done
            done += work
            progress(done)

        with one_torch_thread():
            for job in jobs:
                job.run(tick)

    def _run_there(
        self, jobs: Sequence[Job], progress: Callable[[float], None], handed_over: int
    ) -> None:
        before = self._done.value
        waiting = iter(jobs)
        pending: set[Future[None]] = set()
        try:
            while True:
                for job in islice(waiting, handed_over - len(pending)):
                    pending.add(self._submit(job))
                if not pending:
                    return
                finished, pending = wait(pending, POLL_S, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                progress(self._done.value - before)
        except BrokenProcessPool as error:
            msg = (
                "a worker process died, perhaps for want of memory; what was finished is kept: "
                "run the same command again, with --jobs 1 to need less"
            )
            raise AsdMonitorError(msg) from error

    def _submit(self, job: Job) -> Future[None]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._workers, self._context, _start_worker, (self._done, self._stop)
            )
        with _interrupts_ignored():  # processes started here inherit that: Ctrl-C is for us alone
            return self._executor.submit(_work, job)


def is_done(job: Job) -> bool:
    """Tell whether a job's result is there."""
    return job.result.is_file() and job.result.stat().st_size > 0


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that workers end with us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to one thread, so that results do not depend on how many jobs run."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_shared: dict[str, Any] = {}


def _start_worker(done: object, stop: object) -> None:
    end_with_parent()
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _shared.update(done=done, stop=stop)


def _work(job: Job) -> None:
    done, stop = _shared["done"], _shared["stop"]

    def tick(work: float) -> None:
        with done.get_lock():
            done.value += work
        if stop.is_set():
            raise Stopped

    job.run(tick)
