"""Make a labelled test set by adding faults to a machine's own normal recordings.

The recordings are split once: some are for training, all others are test clips. A test clip
is included unchanged, labelled normal, and once for every kind and level of fault, labelled
anomalous. No recording is in both parts. Each faulty clip has the RMS of its recording, so
its level alone reveals nothing.
"""

import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.progress import Progress
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_offline.synth.real_recordings import Recording, find_recordings, read_recording
from asd_offline.synth.seeds import derive_seed
from asd_offline.synth.writer import (
    claim_folder,
    run_jobs,
    write_manifest,
    write_text,
    write_wav,
)

LEVELS_DB = (0.0, -6.0, -12.0, -18.0)
MIN_TRAIN_CLIPS, MIN_TEST_CLIPS = 2, 1
PEAK = 0.99
NAMELESS = frozenset({"train", "test", "normal", "recordings", "wav", "audio"})
FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class InjectionSettings:
    """Which faults to add to which recordings."""

    normals: Path
    kinds: tuple[str, ...] = tuple(FAULTS)
    levels_db: tuple[float, ...] = LEVELS_DB
    train_clips: int | None = None
    """Number of recordings for training; None = two thirds."""
    seed: int = 1
    machine: str = ""
    """Name of the machine in the dataset; empty = the name of the folder."""
    shaft_hz: float | None = None
    """Revolutions or strokes per second; None = drawn between 12 and 30."""


@dataclass(frozen=True, slots=True)
class InjectionResult:
    """Summary of the dataset that was written."""

    train_clips: int
    test_normals: int
    test_anomalies: int
    rejected: tuple[tuple[str, str], ...]
    gain_db: float
    """Common gain of all clips; below 0 if a faulty clip would otherwise exceed full scale."""


@dataclass(frozen=True, slots=True)
class _Job:
    origin: Path
    path: str
    kind: str
    level_db: float
    shaft_hz: float
    seed: tuple[int, ...]
    gain: float


@dataclass(frozen=True, slots=True)
class _ClipResult:
    level_db: float
    gain_db: float
    peak: float


def make_injected_set(
    out: Path,
    settings: InjectionSettings,
    progress: Progress,
    *,
    force: bool = False,
    workers: int | None = None,
) -> InjectionResult:
    """Write training recordings, normal test clips and faulty clips in the 2020 layout.

    ``<machine>/train/normal_id_00_*.wav``, ``<machine>/test/{normal,anomaly}_id_00_*.wav``, and
    ``faults.csv`` with the kind, level and origin of every clip.

    Raises
    ------
    ConfigError
        If a setting is out of range, or ``out`` is not empty.
    DatasetError
        If there are too few usable recordings, or ``out`` cannot be written.
    """
    _check(settings)
    found = find_recordings(settings.normals)
    jobs = _plan_jobs(settings, found.recordings)
    rate_hz = found.recordings[0].sample_rate_hz
    longest = max(recording.n_samples for recording in found.recordings)
    claim_folder(out, force=force, needed_bytes=len(jobs) * (2 * longest + 44))
    parameters = _parameters(settings, jobs, rate_hz)
    contents = (Path(jobs[0].path).parts[0], "faults.csv")
    write_manifest(out, parameters, contents, complete=False, clips=len(jobs))
    work = partial(_write, out)
    results = run_jobs(work, jobs, progress, workers)
    gain = min(1.0, PEAK / max(result.peak for result in results))
    if gain < 1.0:
        jobs = [replace(job, gain=gain) for job in jobs]
        results = run_jobs(work, jobs, progress, workers)
    write_text(out / "faults.csv", _faults_csv(settings.normals, jobs, results))
    gain_db = round(float(20 * np.log10(gain)), 3)
    parameters |= {"gain_db": gain_db, "rejected": [list(rejected) for rejected in found.rejected]}
    write_manifest(out, parameters, contents, complete=True, clips=len(jobs))
    train = sum("/train/" in job.path for job in jobs)
    faulty = sum(bool(job.kind) for job in jobs)
    return InjectionResult(train, len(jobs) - train - faulty, faulty, found.rejected, gain_db)


def _check(settings: InjectionSettings) -> None:
    for kind in settings.kinds:
        if kind not in FAULTS:
            near = difflib.get_close_matches(kind, FAULTS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            msg = f"--kinds: expected one of {', '.join(FAULTS)}, got {kind!r}{hint}"
            raise ConfigError(msg)
    if not settings.kinds or not settings.levels_db:
        msg = "--kinds and --levels: expected at least one of each, got none"
        raise ConfigError(msg)
    for name, values in (("--kinds", settings.kinds), ("--levels", settings.levels_db)):
        if len(set(values)) != len(values):
            msg = f"{name}: expected different values, got {', '.join(map(str, values))}"
            raise ConfigError(msg)
    for level_db in settings.levels_db:
        if not -60.0 <= level_db <= 20.0:
            msg = f"--levels: expected dB between -60 and 20, got {level_db}"
            raise ConfigError(msg)
    if settings.shaft_hz is not None and not 0.2 <= settings.shaft_hz <= 500.0:
        msg = f"--shaft-hz: expected 0.2 to 500, got {settings.shaft_hz}"
        raise ConfigError(msg)
    if settings.seed < 0:
        msg = f"--seed: expected 0 or more, got {settings.seed}"
        raise ConfigError(msg)


def count_train_clips(normals: Path, requested: int | None, recordings: int) -> int:
    """Return the number of training recordings; raise if too few are left for either part.

    Parameters
    ----------
    normals
        Folder of the recordings, for messages.
    requested
        By the user; None: two thirds.
    recordings
        Number of usable recordings.

    Raises
    ------
    ConfigError
        If fewer than two are requested.
    DatasetError
        If there are too few recordings.
    """
    count = recordings * 2 // 3 if requested is None else requested
    if count < MIN_TRAIN_CLIPS:
        if requested is not None:
            msg = f"--train-clips: expected at least {MIN_TRAIN_CLIPS}, got {requested}"
            raise ConfigError(msg)
        needed = MIN_TRAIN_CLIPS + MIN_TEST_CLIPS
        msg = f"{normals}: expected at least {needed} usable recordings, found {recordings}"
        raise DatasetError(msg)
    if recordings - count < MIN_TEST_CLIPS:
        msg = (
            f"--inject {normals}: {recordings} usable recordings, {count} of them for "
            "training: none is left for testing; lower --train-clips"
        )
        raise DatasetError(msg)
    return count


def _plan_jobs(settings: InjectionSettings, recordings: Sequence[Recording]) -> list[_Job]:
    rng = np.random.default_rng((settings.seed, derive_seed("division")))
    order = [int(index) for index in rng.permutation(len(recordings))]
    train = count_train_clips(settings.normals, settings.train_clips, len(recordings))
    shaft_hz = settings.shaft_hz or float(rng.uniform(12.0, 30.0))
    machine = derive_machine_name(settings.normals, settings.machine)
    jobs: list[_Job] = []

    def add(origin: int, folder: str, index: int, kind: str, level_db: float) -> None:
        word = "anomaly" if kind else "normal"
        path = f"{machine}/{folder}/{word}_id_00_{index:08d}.wav"
        seed = (settings.seed, derive_seed(kind, level_db, origin))
        jobs.append(_Job(recordings[origin].path, path, kind, level_db, shaft_hz, seed, 1.0))

    for index, origin in enumerate(sorted(order[:train])):
        add(origin, "train", index, "", 0.0)
    test = sorted(order[train:])
    for index, origin in enumerate(test):
        add(origin, "test", index, "", 0.0)
    cases = [(kind, level) for kind in settings.kinds for level in settings.levels_db]
    for number, (kind, level_db) in enumerate(cases):
        for index, origin in enumerate(test):
            add(origin, "test", number * len(test) + index, kind, level_db)
    return jobs


def derive_machine_name(normals: Path, name: str) -> str:
    """Return the given name, or that of the first folder upwards that is not merely ``train``."""
    folder = normals.resolve()
    while folder.name.lower() in NAMELESS:
        folder = folder.parent
    return re.sub(r"[^A-Za-z0-9-]+", "-", name or folder.name).strip("-") or "machine"


def _write(out: Path, job: _Job) -> _ClipResult:
    sound, sample_rate_hz = read_recording(job.origin)
    level_db = gain_db = 0.0
    if job.kind:
        rng = np.random.default_rng(job.seed)
        faulty = add_fault(
            job.kind, FaultContext(sound, sample_rate_hz, job.shaft_hz, job.level_db, rng)
        )
        sound, level_db, gain_db = faulty.sound, faulty.level_db, faulty.gain_db
    peak = float(np.max(np.abs(sound))) if job.kind else 0.0
    steps = np.clip(np.round(sound * job.gain * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    write_wav(out / job.path, steps.astype(np.int16), sample_rate_hz)
    return _ClipResult(level_db, gain_db, peak)


def _parameters(
    settings: InjectionSettings, jobs: Sequence[_Job], rate_hz: int
) -> dict[str, object]:
    return {
        "inject": str(settings.normals),
        "kinds": list(settings.kinds),
        "levels_db": list(settings.levels_db),
        "train_clips": sum("/train/" in job.path for job in jobs),
        "seed": settings.seed,
        "shaft_hz": jobs[0].shaft_hz,
        "sample_rate_hz": rate_hz,
    }


def _faults_csv(normals: Path, jobs: Sequence[_Job], results: Sequence[_ClipResult]) -> str:
    """Return the content of ``faults.csv``: kind, level and origin of every clip."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "kind", "level_db", "gain_db", "origin"])
    for job, result in zip(jobs, results, strict=True):
        origin = job.origin.relative_to(normals).as_posix()
        numbers = [f"{result.level_db:.2f}", f"{result.gain_db:.3f}"] if job.kind else ["", ""]
        rows.writerow([job.path, job.kind, *numbers, origin])
    return text.getvalue()
