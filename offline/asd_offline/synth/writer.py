"""The folder that a data set is written to: claimed, filled by all cores, described."""

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
from asd_offline.jobs.exit_with_parent import end_with_parent

MANIFEST = "synth.json"
MADE_BY = "asd-monitor synth"
POOL_WORTH_JOBS = 48
SPARE_BYTES = 64 * 2**20

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with jobs done and jobs in all."""


def claim_folder(out: Path, *, force: bool, needed_bytes: int) -> None:
    """Make sure that ``out`` is there, empty, and has room; an older set of ours may be replaced.

    Only what the older set's own manifest lists is deleted, and only with ``force``.

    Raises
    ------
    ConfigError
        If there is something else at ``out``, or an older set and ``force`` is not given.
    DatasetError
        If the disk is too full, or the folder cannot be made.
    """
    try:
        if out.exists() and not out.is_dir():
            msg = f"{out}: expected a folder, found a file; give another folder"
            raise ConfigError(msg)
        if out.is_dir() and any(out.iterdir()):
            _remove_older_set(out, force=force)
        out.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(out).free
    except OSError as error:
        msg = f"{out}: cannot be used as output folder: {error.strerror or error}"
        raise DatasetError(msg) from error
    if free_bytes < needed_bytes + SPARE_BYTES:
        msg = (
            f"{out}: expected {needed_bytes / 1e6:.0f} MB free, found {free_bytes / 1e6:.0f} MB; "
            "ask for fewer or shorter clips, or for fewer machines"
        )
        raise DatasetError(msg)


def _remove_older_set(out: Path, *, force: bool) -> None:
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        ours = manifest["made_by"] == MADE_BY
        contents = [str(name) for name in manifest["contents"]]
    except (OSError, ValueError, KeyError, TypeError):
        ours, contents = False, []
    if not ours:
        msg = f"{out}: expected an empty or new folder, found files in it; give another folder"
        raise ConfigError(msg)
    if not force:
        msg = f"{out}: holds a data set made earlier; add --force to replace it"
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
    """Write what the set is, with what it was made, and whether it is complete."""
    manifest = {
        "made_by": MADE_BY,
        "format": 1,
        "version": __version__,
        "complete": complete,
        "clips": clips,
        "parameters": parameters,
        "contents": sorted({*contents, MANIFEST}),
    }
    write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file and the folders above it; DatasetError if that cannot be done."""
    _write_bytes(path, text.encode())


def write_wav(path: Path, samples: npt.NDArray[np.int16], sample_rate_hz: int) -> None:
    """Write ``(n,)`` 16-bit samples as a mono WAV file; DatasetError if that cannot be done."""
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
    """Do all jobs, on all cores where it is worth it; results in the order of the jobs.

    Parameters
    ----------
    work
        A function at the top of a module, so that another process can import it.
    workers
        Number of processes; all cores that this process may use when None.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if len(jobs) >= POOL_WORTH_JOBS else 1
    results: list[Result] = []
    if workers == 1:
        for job in jobs:
            results.append(work(job))
            progress(len(results), len(jobs))
        return results
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
    try:
        for result in pool.map(work, jobs, chunksize=4):
            results.append(result)
            progress(len(results), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which then stops the pool, and end with it."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
