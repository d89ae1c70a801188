"""Write a dataset: prepare its folder, render clips on all cores, and write its manifest."""

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from asd_monitor import __version__
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.processes.workers import exit_with_parent
from asd_monitor.progress import Progress
from asd_offline.datasets.year_record import SYNTH_MANIFEST

MADE_BY = "asd-monitor synth"
MIN_POOL_JOBS = 48
RESERVED_BYTES = 64 * 2**20

Job = TypeVar("Job")
Result = TypeVar("Result")


def claim_folder(out: Path, *, force: bool, needed_bytes: int) -> None:
    """Create ``out``, or check that it is empty, and check its free disk space.

    With ``force``, an earlier dataset written by this program is deleted: exactly the files
    that its manifest lists.

    Raises
    ------
    ConfigError
        If ``out`` holds anything else, or an earlier dataset and ``force`` is not given.
    DatasetError
        If the disk has too little free space, or the folder cannot be created.
    """
    try:
        if out.exists() and not out.is_dir():
            msg = f"{out}: expected a folder, found a file; choose another folder"
            raise ConfigError(msg)
        if out.is_dir() and any(out.iterdir()):
            _remove_earlier_set(out, force=force)
        out.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(out).free
    except OSError as error:
        msg = f"{out}: cannot be used as output folder: {error.strerror or error}"
        raise DatasetError(msg) from error
    if free_bytes < needed_bytes + RESERVED_BYTES:
        msg = (
            f"{out}: expected {needed_bytes / 1e6:.0f} MB free, found {free_bytes / 1e6:.0f} MB; "
            "ask for fewer or shorter clips, or for fewer machines"
        )
        raise DatasetError(msg)


def _remove_earlier_set(out: Path, *, force: bool) -> None:
    try:
        manifest = json.loads((out / SYNTH_MANIFEST).read_text(encoding="utf-8"))
        is_ours = manifest["made_by"] == MADE_BY
        contents = [str(name) for name in manifest["contents"]]
    except (OSError, ValueError, KeyError, TypeError):
        is_ours, contents = False, []
    if not is_ours:
        msg = f"{out}: expected a new or empty folder, found files in it; choose another folder"
        raise ConfigError(msg)
    if not force:
        msg = f"{out}: contains an earlier dataset; add --force to replace it"
        raise ConfigError(msg)
    for name in contents:
        path = out / Path(name).name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_manifest(
    out: Path, parameters: dict[str, Any], contents: Iterable[str], *, complete: bool, clips: int
) -> None:
    """Write the manifest: program version, parameters, contents, and whether it is complete."""
    manifest = {
        "made_by": MADE_BY,
        "format": 1,
        "version": __version__,
        "complete": complete,
        "clips": clips,
        "parameters": parameters,
        "contents": sorted({*contents, SYNTH_MANIFEST}),
    }
    write_text(out / SYNTH_MANIFEST, json.dumps(manifest, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file and its parent folders; raise DatasetError if that fails."""
    _write_bytes(path, text.encode())


def write_wav(path: Path, samples: npt.NDArray[np.int16], sample_rate_hz: int) -> None:
    """Write ``(n,)`` or ``(n, channels)`` 16-bit samples as WAV; raise DatasetError on failure."""
    import soundfile

    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
    _write_bytes(path, encoded.getvalue())


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error


def run_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    progress: Progress,
    workers: int | None = None,
) -> list[Result]:
    """Run all jobs and return their results in the order of the jobs.

    Parameters
    ----------
    work
        A module-level function, so that another process can import it.
    progress
        Receives the stage ``"clips"`` in jobs.
    workers
        Number of processes; None = all available cores, or one if there are few jobs.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if len(jobs) >= MIN_POOL_JOBS else 1
    results: list[Result] = []
    if workers == 1:
        for job in jobs:
            results.append(work(job))
            progress.update("clips", len(results), len(jobs))
        return results
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
    try:
        for result in pool.map(work, jobs, chunksize=4):
            results.append(result)
            progress.update("clips", len(results), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles by stopping the pool, and exit with the parent."""
    exit_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
