"""Make timelines: folders with ``train/`` and ``streams/`` for ``replay --timeline``."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import Progress
from asd_monitor.synthesis.faults import FAULTS
from asd_offline.jobs.pool import JobPool, sigterm_as_interrupt
from asd_offline.synth.fault_injection import (
    count_train_clips,
    derive_machine_name,
)
from asd_offline.synth.machines import MACHINE_FAULTS
from asd_offline.synth.real_recordings import Found, Recording, find_recordings, read_recording
from asd_offline.synth.seeds import derive_seed
from asd_offline.synth.timeline.plan import StreamPlan, plan_streams
from asd_offline.synth.timeline.recorded import RecordedMachine
from asd_offline.synth.timeline.settings import (
    InjectedTimelines,
    SimulatedTimelines,
    TimelineSettings,
)
from asd_offline.synth.timeline.simulated import (
    MODE_BLOCKS,
    TRAINING_MODE_BLOCKS,
    SimulatedMachine,
)
from asd_offline.synth.timeline.write import BlockSource, WriteJob
from asd_offline.synth.writer import claim_folder, write_manifest, write_text

TRAIN_FILE_S = 600.0
PEAK = 0.5
"""Recordings with a higher peak are attenuated, all by the same gain: faults need headroom."""
PRELOADED_MODULES = ("asd_offline.synth.timeline.write",)


@dataclass(frozen=True, slots=True)
class TimelineResult:
    """Summary of what was written."""

    machines: tuple[str, ...]
    """Folders; with several splits one for each."""
    streams: int
    normal_h: float
    faults: int
    cases: int
    """Combinations of kind, level and onset; faults are fewer where there was no room."""
    rejected: tuple[tuple[str, str], ...] = ()
    """Path and reason of recordings that were not used."""


@dataclass(frozen=True, slots=True)
class _Machine:
    folder: str
    train: tuple[WriteJob, ...]
    streams: tuple[WriteJob, ...]
    cases: int


def make_timelines(
    out: Path,
    settings: TimelineSettings,
    origin: SimulatedTimelines | InjectedTimelines,
    progress: Progress,
    *,
    force: bool = False,
    workers: int | None = None,
) -> TimelineResult:
    """Write the training recordings, streams and labels of each machine.

    Raises
    ------
    ConfigError
        If a setting is out of range, or ``out`` is not empty.
    DatasetError
        If there are too few usable recordings, or ``out`` cannot be written.
    """
    settings.check()
    origin.check()
    rejected: tuple[tuple[str, str], ...] = ()
    if isinstance(origin, SimulatedTimelines):
        machines = [_simulate(out, settings, origin, name) for name in origin.machines]
    else:
        found = find_recordings(origin.normals)
        rejected = found.rejected
        machines = [*_inject(out, settings, origin, found)]
    jobs = [job for machine in machines for job in (*machine.train, *machine.streams)]
    needed = sum(2 * round(job.work * job.source.sample_rate_hz) for job in jobs)
    claim_folder(out, force=force, needed_bytes=needed)
    contents = [machine.folder for machine in machines]
    parameters = _parameters(settings, origin)
    write_manifest(out, parameters, contents, complete=False, clips=len(jobs))
    total = sum(job.work for job in jobs)
    workers = min(len(jobs), available_cores() if workers is None else workers)
    with sigterm_as_interrupt(), JobPool(workers, PRELOADED_MODULES) as pool:
        pool.run(jobs, lambda done: progress.update("sound", min(done, total), total))
    plans = [job.source.plan for machine in machines for job in machine.streams]
    for machine in machines:
        for job in machine.streams:
            write_text(job.result.with_suffix(".csv"), job.source.plan.labels)
    write_manifest(out, parameters, contents, complete=True, clips=len(jobs))
    faults = [fault for plan in plans for fault in plan.faults]
    fault_s = sum(fault.end_s - fault.start_s for fault in faults)
    return TimelineResult(
        tuple(contents),
        len(plans),
        (sum(plan.duration_s for plan in plans) - fault_s) / 3600,
        len(faults),
        sum(machine.cases for machine in machines),
        rejected,
    )


def _simulate(
    out: Path, settings: TimelineSettings, origin: SimulatedTimelines, name: str
) -> _Machine:
    seed = (settings.seed, derive_seed("timeline", name))
    unit_seed = derive_seed(*seed, "unit")
    cases = list(
        product(settings.kinds or MACHINE_FAULTS[name], settings.levels_db, settings.onsets)
    )

    def write(plan: StreamPlan, folder: str) -> WriteJob:
        blocks = TRAINING_MODE_BLOCKS if folder == "train" else MODE_BLOCKS
        source = SimulatedMachine(name, origin.snr_db, unit_seed, plan, blocks)
        return WriteJob(source, out / name / folder / f"{plan.name}.wav")

    plans = plan_streams(3600 * settings.hours, settings.fault_s, cases, (*seed, 1))
    return _Machine(
        name,
        tuple(write(plan, "train") for plan in _plan_training(origin.train_minutes, (*seed, 2))),
        tuple(write(plan, "streams") for plan in plans),
        len(cases),
    )


def _plan_training(minutes: float, seed: tuple[int, ...]) -> Iterator[StreamPlan]:
    remaining_s, index = 60 * minutes, 0
    while remaining_s > 0:
        length_s = min(TRAIN_FILE_S, remaining_s)
        yield StreamPlan(f"normal_{index:02d}", length_s, (), (*seed, index))
        remaining_s, index = remaining_s - length_s, index + 1


def _inject(
    out: Path, settings: TimelineSettings, origin: InjectedTimelines, found: Found
) -> Iterator[_Machine]:
    recordings = found.recordings
    count = count_train_clips(origin.normals, origin.train_clips, len(recordings))
    peak = max(float(np.max(np.abs(read_recording(r.path)[0]))) for r in recordings)
    gain = min(1.0, PEAK / peak)
    machine = derive_machine_name(origin.normals, origin.machine)
    cases = list(product(settings.kinds or FAULTS, settings.levels_db, settings.onsets))
    for split in range(origin.splits):
        seed = (settings.seed + split, derive_seed("timeline"))
        rng = np.random.default_rng(seed)
        order = [int(index) for index in rng.permutation(len(recordings))]
        shaft_hz = origin.shaft_hz or float(rng.uniform(12.0, 30.0))
        folder = machine if origin.splits == 1 else f"{machine}_seed_{settings.seed + split}"
        train = [recordings[index] for index in sorted(order[:count])]
        test = [recordings[index] for index in sorted(order[count:])]

        def source(parts: list[Recording], plan: StreamPlan, shaft_hz: float) -> BlockSource:
            paths = tuple(recording.path for recording in parts)
            return RecordedMachine(paths, parts[0].sample_rate_hz, shaft_hz, gain, plan)

        def write(job_source: BlockSource, folder: str, kind: str) -> WriteJob:
            path = out / folder / kind / f"{job_source.plan.name}.wav"
            return WriteJob(job_source, path)

        plans = plan_streams(3600 * settings.hours, settings.fault_s, cases, seed)
        yield _Machine(
            folder,
            tuple(
                write(source([r], _plan_copy(r, index, seed), shaft_hz), folder, "train")
                for index, r in enumerate(train)
            ),
            tuple(write(source(test, plan, shaft_hz), folder, "streams") for plan in plans),
            len(cases),
        )


def _plan_copy(recording: Recording, index: int, seed: tuple[int, ...]) -> StreamPlan:
    """Return the plan of a training recording: a copy, without the overlap at its end."""
    duration_s = recording.n_samples / recording.sample_rate_hz
    return StreamPlan(f"normal_{index:04d}", duration_s, (), seed)


def _parameters(
    settings: TimelineSettings, origin: SimulatedTimelines | InjectedTimelines
) -> dict[str, object]:
    values: dict[str, object] = {
        "timeline": True,
        "hours": settings.hours,
        "fault_s": settings.fault_s,
        "kinds": list(settings.kinds),
        "levels_db": list(settings.levels_db),
        "onsets": list(settings.onsets),
        "seed": settings.seed,
    }
    if isinstance(origin, SimulatedTimelines):
        return values | {
            "machines": list(origin.machines),
            "train_minutes": origin.train_minutes,
            "snr_db": origin.snr_db,
        }
    return values | {
        "inject": str(origin.normals),
        "train_clips": origin.train_clips,
        "splits": origin.splits,
        "shaft_hz": origin.shaft_hz,
    }
