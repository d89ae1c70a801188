"""Run independent jobs on all cores; finished jobs survive an interruption.

A job is a picklable value that atomically writes one result file. Jobs whose result exists are not
run again, which makes every run resumable.
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
from asd_monitor.processes.workers import exit_with_parent, interrupts_deferred

Tick = Callable[[float], None]
"""Called by a job with the work done since the last call, in the unit of ``Job.work``."""

POLL_INTERVAL_S = 0.2


class Job(Protocol):
    """A piece of work that can run in another process."""

    @property
    def result(self) -> Path:
        """File that exists once the job is done."""

    @property
    def work(self) -> float:
        """Amount of work, in a unit that all jobs share."""

    def run(self, tick: Tick) -> None:
        """Do the work and write :attr:`result`; ``tick`` may raise to stop the job."""


class Pool(Protocol):
    """Workers that run jobs: processes of this computer, or those of a cluster."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(self, *_: object) -> None:
        """Stop the jobs that run."""

    def run(
        self, jobs: Sequence[Job], progress: Callable[[float], None], at_once: int | None = None
    ) -> None:
        """Run all jobs without a result; see :meth:`JobPool.run`."""


class Stopped(Exception):  # noqa: N818 - not an error: the user has stopped the work
    """Raised inside a job to stop it."""


class JobPool:
    """Processes that run jobs; with one worker, this process runs them itself.

    Parameters
    ----------
    workers
        Maximum number of jobs that run at the same time.
    preload
        Modules that workers share because they are imported once, before the first is started.
    hide_gpus
        Whether workers see no GPU, because their jobs use the CPU: each would take its own context
        of some 0.5 GB as soon as anything in it asks for one.
    """

    def __init__(
        self, workers: int, preload: Sequence[str] = ("torch",), *, hide_gpus: bool = False
    ) -> None:
        self._hide_gpus = hide_gpus
        self._workers = workers
        # Workers are forked from a server that has imported torch but never used it. That is as
        # safe as a new process, costs one start, and the workers share torch's memory.
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._done = self._context.Value("d", 0.0)
        self._stop = self._context.Event()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop running jobs at their next tick, and wait for them."""
        self._stop.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def run(
        self, jobs: Sequence[Job], progress: Callable[[float], None], at_once: int | None = None
    ) -> None:
        """Run all jobs without a result, in their order as far as workers are free.

        Parameters
        ----------
        progress
            Called repeatedly with the work done since this call began.
        at_once
            Maximum number of jobs at the same time if each needs much memory; None: all workers.

        Raises
        ------
        AsdMonitorError
            If a job raises it, or a worker process dies.
        """
        missing = [job for job in jobs if not is_done(job)]
        if self._workers == 1 or (len(missing) <= 1 and self._executor is None):
            self._run_in_this_process(missing, progress)
        elif missing:
            # Few are submitted at a time, so that few need to be cancelled.
            self._run_in_workers(missing, progress, at_once or 2 * self._workers)

    def _run_in_this_process(self, jobs: Sequence[Job], progress: Callable[[float], None]) -> None:
        done = 0.0

        def tick(work: float) -> None:
            nonlocal done
            done += work
            progress(done)

        with one_torch_thread():
            for job in jobs:
                job.run(tick)

    def _run_in_workers(
        self, jobs: Sequence[Job], progress: Callable[[float], None], max_pending: int
    ) -> None:
        before = self._done.value
        waiting = iter(jobs)
        pending: set[Future[None]] = set()
        try:
            while True:
                for job in islice(waiting, max_pending - len(pending)):
                    pending.add(self._submit(job))
                if not pending:
                    return
                finished, pending = wait(pending, POLL_INTERVAL_S, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                progress(self._done.value - before)
        except BrokenProcessPool as error:
            msg = (
                "a worker process died, possibly because memory was too small; finished jobs are "
                "kept: run the same command again, with --jobs 1 to use less memory"
            )
            raise AsdMonitorError(msg) from error

    def _submit(self, job: Job) -> Future[None]:
        if self._executor is None:
            shared = (self._done, self._stop, self._hide_gpus)
            self._executor = ProcessPoolExecutor(
                self._workers, self._context, _start_worker, shared
            )
        # Processes that are started here inherit this: Ctrl-C interrupts this process only.
        with interrupts_deferred():
            return self._executor.submit(_work, job)


def is_done(job: Job) -> bool:
    """Return whether a job's result exists."""
    return job.result.is_file() and job.result.stat().st_size > 0


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, too, so that workers are stopped."""
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
    """Limit torch to one thread, so that results do not depend on the number of jobs."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# A worker receives these when it starts; they cannot be sent with a job.
_shared: dict[str, Any] = {}


def _start_worker(done: object, stop: object, hide_gpus: bool) -> None:
    exit_with_parent()
    if hide_gpus:  # read when CUDA is first used, which the server that forks workers never does
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
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
