"""The part of a cluster's pool that runs on its workers."""

import hashlib
import os
import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asd_monitor.errors import AsdMonitorError
from asd_offline.jobs.pool import Job, is_done, one_torch_thread

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "soxr", "soundfile")
"""Packages whose version results may depend on; one that is missing here must be missing there."""
TICK_INTERVAL_S = 0.5
"""A job reports its progress at most this often."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What every worker must have in common with the computer that hands out jobs."""

    versions: tuple[tuple[str, str], ...]
    folder: Path
    """Working folder, which relative paths of jobs start from."""
    token_file: Path
    """File in the folder of results."""
    token: str
    """Contents of that file."""


class JobProgress:
    """Work done in each running job; an actor of the cluster."""

    def __init__(self) -> None:
        self._done: dict[int, float] = {}

    def report(self, number: int, done: float) -> None:
        """Set the work done in a job; a job that is repeated starts from zero."""
        self._done[number] = done

    def read(self) -> dict[int, float]:
        """Return the work done by job number."""
        return self._done


def program_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions that results may depend on, with a digest of this program's code."""
    found = [("program", f"code {_code_digest()}")]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "not installed"))
    return tuple(found)


def cpu_capability() -> str:
    """Return the vector instructions that torch uses, such as ``AVX2``."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


@lru_cache(maxsize=1)
def find_difference(expected: Expectation) -> str:
    """Return what this worker lacks, as the end of "worker ..."; empty if nothing."""
    for (name, wanted), (_, found) in zip(expected.versions, program_versions(), strict=True):
        if found != wanted:
            return f"has another {name}: expected {wanted}, found {found}; install the same version"
    try:
        os.chdir(expected.folder)
    except OSError as error:
        return (
            f"cannot open the working folder {expected.folder}: {error.strerror}; start the "
            "command in a folder that all computers share"
        )
    try:
        found = expected.token_file.read_text(encoding="utf-8")
        answer = expected.token_file.with_suffix(f".{os.getpid()}")
        answer.write_text(found, encoding="utf-8")
        answer.unlink()
    except OSError as error:
        found = error.strerror or str(error)
    if found != expected.token:
        return (
            f"does not share the folder of results {expected.token_file.parent}: {found}; choose "
            "a folder that all computers can write at the same path"
        )
    return ""


def describe_worker(expected: Expectation) -> tuple[str, str, str]:
    """Return the name of this computer, what it lacks, and its vector instructions."""
    return socket.gethostname(), find_difference(expected), cpu_capability()


def run_on_worker(
    number: int,
    job: Job,
    expected: Expectation,
    progress: Any,  # noqa: ANN401 - a handle that Ray makes
) -> AsdMonitorError | None:
    """Run a job, unless an earlier attempt has finished it; return the error of a user, if any."""
    if lacking := find_difference(expected):
        return AsdMonitorError(f"--cluster: worker {socket.gethostname()} {lacking}")
    if is_done(job):
        return None
    done, reported_s = 0.0, time.monotonic()

    def tick(work: float) -> None:
        nonlocal done, reported_s
        done += work
        if time.monotonic() - reported_s >= TICK_INTERVAL_S:
            reported_s = time.monotonic()
            progress.report.remote(number, done)

    try:
        with one_torch_thread():
            job.run(tick)
    except AsdMonitorError as error:
        return error
    return None


def _code_digest() -> str:
    """Return a digest of the source files of both halves."""
    import asd_monitor
    import asd_offline

    digest = hashlib.sha256()
    for package in (asd_monitor, asd_offline):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
