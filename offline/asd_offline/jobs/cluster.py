"""Run independent jobs on a Ray cluster; the results are those of a pool of local processes."""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from asd_monitor.errors import AsdMonitorError, ConfigError, DatasetError
from asd_offline.jobs.cluster_worker import (
    Expectation,
    JobProgress,
    cpu_capability,
    describe_worker,
    program_versions,
    run_on_worker,
)
from asd_offline.jobs.pool import POLL_INTERVAL_S, Job, is_done

CONNECT_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 120.0
"""Starting a process on a busy computer, with its imports from a network file system."""
CANCEL_TIMEOUT_S = 10.0
VISIBLE_TIMEOUT_S = 60.0
"""After this time a network file system shows a file that another computer has written."""
MAX_ATTEMPTS = 4
"""Times that a job is started if its worker process or computer fails."""


@dataclass(frozen=True, slots=True)
class _Started:
    number: int
    job: Job
    reference: Any
    """Ray's reference to the result of the task."""


class ClusterPool:
    """Workers of a Ray cluster that run jobs, with the interface of a pool of processes.

    Parameters
    ----------
    address
        ``auto``, or host and port of the cluster; this computer must be one of it.
    shared
        Folder of the results, which all computers share.
    gpus
        GPUs that each job occupies.
    job_bytes
        Memory that each job may take, so that a computer does not get too many; 0: not considered.
    notify
        Receives one line about the cluster, and warnings.
    """

    def __init__(
        self,
        address: str,
        shared: Path,
        *,
        gpus: float = 0.0,
        job_bytes: int = 0,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._address = address
        self._token_file = shared.absolute() / f".cluster-{secrets.token_hex(8)}"
        self._needs: dict[str, float] = {"num_cpus": 1, "num_gpus": gpus, "memory": job_bytes}
        self._notify = notify
        self._pending: dict[Future[AsdMonitorError | None], _Started] = {}
        self._numbers = count()

    def __enter__(self) -> Self:
        self._ray = _connect(self._address)
        self._exit = ExitStack()
        self._exit.callback(self._close)
        try:
            self._exit.enter_context(redirect_stdout(sys.stderr))  # Ray prints what workers meet
            self._expected = Expectation(
                program_versions(), Path.cwd(), self._token_file, secrets.token_hex(16)
            )
            _write_token(self._token_file, self._expected.token)
            self._check_computers()
            self._progress = self._ray.remote(num_cpus=0, max_restarts=-1)(JobProgress).remote()
            self._task = self._ray.remote(
                max_retries=MAX_ATTEMPTS - 1, scheduling_strategy="SPREAD", **self._needs
            )(run_on_worker)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the jobs that run, and leave the cluster."""
        with self._exit:
            self._cancel()

    def run(
        self, jobs: Sequence[Job], progress: Callable[[float], None], at_once: int | None = None
    ) -> None:
        """Run all jobs without a result.

        Parameters
        ----------
        progress
            Called repeatedly with the work done since this call began.
        at_once
            Maximum number of jobs at the same time on each computer; None: all workers.

        Raises
        ------
        AsdMonitorError
            If a job raises it, or worker processes die again and again.
        """
        waiting = iter([job for job in jobs if not is_done(job)])
        finished = reported = 0.0
        while True:
            for job in islice(waiting, self._max_pending(at_once) - len(self._pending)):
                self._submit(job)
            if not self._pending:
                return
            ready, _ = wait(self._pending, POLL_INTERVAL_S, FIRST_COMPLETED)
            for future in ready:
                job = self._pending.pop(future).job
                self._take_result(future, job)
                finished += job.work
            done = finished + self._partly_done()
            if done > reported:
                reported = done
                progress(done)

    def _submit(self, job: Job) -> None:
        number = next(self._numbers)
        reference = self._task.remote(number, job, self._expected, self._progress)
        # Waiting for a future can be interrupted by signals, waiting for a reference cannot.
        self._pending[reference.future()] = _Started(number, job, reference)

    def _take_result(self, future: "Future[AsdMonitorError | None]", job: Job) -> None:
        """Raise the error of a finished job, if any, and wait until its result can be read."""
        try:
            error = future.result()
        except self._ray.exceptions.RayTaskError:
            raise  # an internal error, with its traceback
        except self._ray.exceptions.RayError as failure:
            msg = (
                f"a worker of the cluster died {MAX_ATTEMPTS} times with the same job, possibly "
                "because memory was too small; finished jobs are kept: run the same command again"
            )
            raise AsdMonitorError(msg) from failure
        if error is not None:
            raise error
        deadline_s = time.monotonic() + VISIBLE_TIMEOUT_S
        while not is_done(job):
            if time.monotonic() > deadline_s:
                msg = (
                    f"{job.result}: written by a worker of the cluster, but not visible here after "
                    f"{VISIBLE_TIMEOUT_S:.0f} s; choose a folder that all computers share"
                )
                raise DatasetError(msg)
            with suppress(OSError):
                os.listdir(job.result.parent)  # makes a network file system look again
            time.sleep(POLL_INTERVAL_S)

    def _partly_done(self) -> float:
        """Return the work done in jobs that are not finished."""
        future = self._progress.read.remote().future()
        try:
            done: dict[int, float] = future.result(CONNECT_TIMEOUT_S)
        except (self._ray.exceptions.RayError, TimeoutError):
            return 0.0  # its computer was lost: the actor starts again
        return sum(
            min(done.get(started.number, 0.0), started.job.work)
            for started in self._pending.values()
        )

    def _max_pending(self, at_once: int | None) -> int:
        """Return how many jobs may be submitted: few, so that few need to be cancelled."""
        if at_once is not None:
            return at_once * len(self._computers())
        return 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _computers(self) -> list[dict[str, Any]]:
        """Return the computers that can run a job."""
        needs = {"CPU": 1.0, "GPU": self._needs["num_gpus"], "memory": self._needs["memory"]}
        return [
            node
            for node in self._ray.nodes()
            if node["Alive"]
            and all(node["Resources"].get(name, 0.0) >= need for name, need in needs.items())
        ]

    def _check_computers(self) -> None:
        """Raise ConfigError unless every computer has the same program and shares the folder."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        computers = self._computers()
        if not computers:
            gpu = f", {self._needs['num_gpus']:g} GPU" if self._needs["num_gpus"] else ""
            memory = f" and {self._needs['memory'] / 1e9:.1f} GB" if self._needs["memory"] else ""
            msg = f"--cluster {self._address}: no computer of it has a core{gpu}{memory} for a job"
            raise ConfigError(f"{msg}; see `ray status`")
        describe = self._ray.remote(num_cpus=0, max_retries=1)(describe_worker)
        references = [
            describe.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(self._expected)
            for node in computers
        ]
        try:
            answers = [each.future().result(PROBE_TIMEOUT_S) for each in references]
        except (self._ray.exceptions.RayError, TimeoutError) as error:
            lines = str(error).strip().splitlines() or ["no answer"]
            msg = (
                f"--cluster {self._address}: a worker cannot run this program: {lines[-1].strip()}"
                "; install the same version of it on every computer of the cluster"
            )
            raise ConfigError(msg) from error
        for name, lacking, _ in answers:
            if lacking:
                raise ConfigError(f"--cluster {self._address}: worker {name} {lacking}")
        self._notify(_describe(self._address, computers))
        others = sorted({(name, cpu) for name, _, cpu in answers if cpu != cpu_capability()})
        if others:
            listed = ", ".join(f"{name} {cpu}" for name, cpu in others)
            self._notify(
                f"cluster: other vector instructions than here ({cpu_capability()}): {listed}; "
                "the last digits of scores may differ"
            )

    def _cancel(self) -> None:
        """Cancel all jobs: at their next step, and those that do not end, by ending the worker."""
        for force in (False, True):
            if not self._pending:
                return
            with suppress(self._ray.exceptions.RayError):
                for started in self._pending.values():
                    self._ray.cancel(started.reference, force=force)
            ready, _ = wait(self._pending, CANCEL_TIMEOUT_S)
            for future in ready:
                del self._pending[future]

    def _close(self) -> None:
        self._ray.shutdown()
        self._token_file.unlink(missing_ok=True)


def _connect(address: str) -> ModuleType:
    """Connect to a cluster and return the module ``ray``."""
    if find_spec("ray") is None:
        msg = "--cluster needs Ray, which is not installed: pip install 'asd-monitor[cluster]'"
        raise ConfigError(msg)
    _check_address(address)
    import ray

    try:
        with _sigterm_kept():
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        msg = (
            f"--cluster {address}: cannot join the Ray cluster: {reason}; run the command on a "
            "computer of the cluster (`ray start --address HOST:PORT`)"
        )
        raise ConfigError(msg) from error
    return ray


def _check_address(address: str) -> None:
    """Raise ConfigError unless the address can be right, and something answers there."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        msg = f"--cluster: expected auto or HOST:PORT of a Ray cluster, found {address!r}"
        raise ConfigError(msg)
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        msg = (
            f"--cluster {address}: nothing answers there: {error}; start the cluster with "
            "`ray start --head`, which prints its address"
        )
        raise ConfigError(msg) from error


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_token(path: Path, token: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(token, encoding="utf-8")
    except OSError as error:
        msg = f"{path.parent}: cannot be written: {error.strerror or error}; choose another --out"
        raise DatasetError(msg) from error


def _describe(address: str, computers: Sequence[dict[str, Any]]) -> str:
    cores = sum(int(node["Resources"].get("CPU", 0)) for node in computers)
    number = "1 computer" if len(computers) == 1 else f"{len(computers)} computers"
    return f"cluster {address}: {number}, {cores} cores"
