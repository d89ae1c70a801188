"""A labelled test set from a machine's own normal recordings, by putting faults into them.

The recordings are divided once: some are for training, all others are test clips. A test clip
appears as it is, labelled normal, and once for every kind and level of fault, labelled
anomalous. No recording is on both sides. Each faulty clip is as loud as the recording it was
made from, so that level alone tells nothing.
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

from asd_monitor.demo.pump_sound import DoubleArray
from asd_monitor.errors import ConfigError, DatasetError
from asd_offline.synth.faults import FAULTS, Scene, fault_component, rms
from asd_offline.synth.real_recordings import Recording, find_recordings, read_recording
from asd_offline.synth.room import seed_of
from asd_offline.synth.writer import (
    Progress,
    claim_folder,
    run_jobs,
    write_manifest,
    write_text,
    write_wav,
)

LEVELS_DB = (0.0, -6.0, -12.0, -18.0)
LEAST_TRAINING, LEAST_TEST = 2, 1
PEAK = 0.99
NAMELESS = frozenset({"train", "test", "normal", "recordings", "wav", "audio"})
FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class InjectionSettings:
    """Which faults to put into which recordings."""

    normals: Path
    kinds: tuple[str, ...] = tuple(FAULTS)
    levels_db: tuple[float, ...] = LEVELS_DB
    train_clips: int | None = None
    """Recordings kept for training; None = two thirds."""
    seed: int = 1
    machine: str = ""
    """Name of the machine in the data set; the folder's own name when empty."""
    shaft_hz: float | None = None
    """Turns or strokes per second, where known; else drawn between 12 and 30."""


@dataclass(frozen=True, slots=True)
class Injected:
    """What was written."""

    train_clips: int
    test_normals: int
    test_anomalies: int
    rejected: tuple[tuple[str, str], ...]
    gain_db: float
    """Gain of every clip alike, 0 unless a faulty clip would have been clipped without."""


@dataclass(frozen=True, slots=True)
class FaultyClip:
    """A recording with a fault in it."""

    sound: DoubleArray
    level_db: float
    """RMS of the fault's component against RMS of the recording."""
    gain_db: float
    """Gain of the sum that makes it as loud as the recording."""


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
class _Done:
    level_db: float
    gain_db: float
    peak: float


def put_fault(kind: str, scene: Scene) -> FaultyClip:
    """Put a fault into a recording at the scene's level and the recording's own loudness.

    The component's RMS stands at the level below the recording's RMS, both about their means
    and over the whole clip; then the sum is scaled about its mean to the recording's RMS.
    """
    component, level_db = fault_component(kind, scene)
    faulty = scene.sound + component
    mean = faulty.mean()
    gain = rms(scene.sound) / rms(faulty)
    return FaultyClip(mean + gain * (faulty - mean), level_db, float(20 * np.log10(gain)))


def make_injected_set(
    out: Path,
    settings: InjectionSettings,
    progress: Progress,
    *,
    force: bool = False,
    workers: int | None = None,
) -> Injected:
    """Write training recordings, test normals and faulty clips in the layout of 2020.

    ``<machine>/train/normal_id_00_*.wav``, ``<machine>/test/{normal,anomaly}_id_00_*.wav``, and
    ``faults.csv``, which names the kind, level and origin of every clip.

    Raises
    ------
    ConfigError
        If a setting is impossible or ``out`` is in use.
    DatasetError
        If there are too few usable recordings, or ``out`` cannot be written.
    """
    _check(settings)
    found = find_recordings(settings.normals)
    jobs = _jobs(settings, found.recordings)
    rate_hz = found.recordings[0].sample_rate_hz
    longest = max(recording.n_samples for recording in found.recordings)
    claim_folder(out, force=force, needed_bytes=len(jobs) * (2 * longest + 44))
    parameters = _parameters(settings, jobs, rate_hz)
    contents = (Path(jobs[0].path).parts[0], "faults.csv")
    write_manifest(out, parameters, contents, complete=False, clips=len(jobs))
    work = partial(_write, out)
    done = run_jobs(work, jobs, progress, workers)
    gain = min(1.0, PEAK / max(each.peak for each in done))
    if gain < 1.0:
        jobs = [replace(job, gain=gain) for job in jobs]
        done = run_jobs(work, jobs, progress, workers)
    write_text(out / "faults.csv", _table(settings.normals, jobs, done))
    gain_db = round(float(20 * np.log10(gain)), 3)
    parameters |= {"gain_db": gain_db, "rejected": [list(each) for each in found.rejected]}
    write_manifest(out, parameters, contents, complete=True, clips=len(jobs))
    train = sum("/train/" in job.path for job in jobs)
    faulty = sum(bool(job.kind) for job in jobs)
    return Injected(train, len(jobs) - train - faulty, faulty, found.rejected, gain_db)


def _check(settings: InjectionSettings) -> None:
    for kind in settings.kinds:
        if kind not in FAULTS:
            near = difflib.get_close_matches(kind, FAULTS, n=1)
            hint = f"; nearest: {near[0]}" if near else ""
            msg = f"--kinds: {kind!r} is no kind of fault; there are {', '.join(FAULTS)}{hint}"
            raise ConfigError(msg)
    if not settings.kinds or not settings.levels_db:
        msg = "--kinds and --levels: expected at least one each, got none"
        raise ConfigError(msg)
    for name, values in (("--kinds", settings.kinds), ("--levels", settings.levels_db)):
        if len(set(values)) != len(values):
            msg = f"{name}: one is given twice: {', '.join(map(str, values))}"
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


def _train_clips(settings: InjectionSettings, found: int) -> int:
    """How many recordings are for training; DatasetError if they do not go round."""
    wanted = settings.train_clips
    count = found * 2 // 3 if wanted is None else wanted
    if count < LEAST_TRAINING:
        where = settings.normals
        asked = f"--train-clips {wanted}" if wanted is not None else f"{found} in {where}"
        msg = f"expected at least {LEAST_TRAINING} recordings for training, got {asked}"
        raise (DatasetError if wanted is None else ConfigError)(msg)
    if found - count < LEAST_TEST:
        msg = (
            f"--inject {settings.normals}: {found} usable recordings, of which {count} are for "
            f"training: none is left to test with; give fewer --train-clips"
        )
        raise DatasetError(msg)
    return count


def _jobs(settings: InjectionSettings, recordings: Sequence[Recording]) -> list[_Job]:
    rng = np.random.default_rng((settings.seed, seed_of("division")))
    order = [int(place) for place in rng.permutation(len(recordings))]
    train = _train_clips(settings, len(recordings))
    shaft_hz = settings.shaft_hz or float(rng.uniform(12.0, 30.0))
    machine = _machine_name(settings)
    jobs: list[_Job] = []

    def add(origin: int, folder: str, index: int, kind: str, level_db: float) -> None:
        word = "anomaly" if kind else "normal"
        path = f"{machine}/{folder}/{word}_id_00_{index:08d}.wav"
        seed = (settings.seed, seed_of(kind, level_db, origin))
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


def _machine_name(settings: InjectionSettings) -> str:
    """The name given, or that of the first folder upwards that is not merely ``train``."""
    folder = settings.normals.resolve()
    while folder.name.lower() in NAMELESS:
        folder = folder.parent
    name = settings.machine or folder.name
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "machine"


def _write(out: Path, job: _Job) -> _Done:
    sound, sample_rate_hz = read_recording(job.origin)
    level_db = gain_db = 0.0
    if job.kind:
        rng = np.random.default_rng(job.seed)
        faulty = put_fault(job.kind, Scene(sound, sample_rate_hz, job.shaft_hz, job.level_db, rng))
        sound, level_db, gain_db = faulty.sound, faulty.level_db, faulty.gain_db
    peak = float(np.max(np.abs(sound))) if job.kind else 0.0
    steps = np.clip(np.round(sound * job.gain * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    write_wav(out / job.path, steps.astype(np.int16), sample_rate_hz)
    return _Done(level_db, gain_db, peak)


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


def _table(normals: Path, jobs: Sequence[_Job], done: Sequence[_Done]) -> str:
    """``faults.csv``: what every clip is and what it was made from."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "kind", "level_db", "gain_db", "origin"])
    for job, each in zip(jobs, done, strict=True):
        origin = job.origin.relative_to(normals).as_posix()
        numbers = [f"{each.level_db:.2f}", f"{each.gain_db:.3f}"] if job.kind else ["", ""]
        rows.writerow([job.path, job.kind, *numbers, origin])
    return text.getvalue()
