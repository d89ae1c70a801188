"""Replay labelled streams: learn each machine, play its streams, compare alarms with labels."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.processes.workers import available_cores
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets.audio_files import read_length
from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import JobPool, Pool, sigterm_as_interrupt
from asd_offline.replay.job_results import read_fit
from asd_offline.replay.plan import QUICKSTART, GivenModel, file_version, read_given_model
from asd_offline.replay.work_folder import choose_work_folder, clean_up, create_work_folder
from asd_offline.timeline.layout import MachineStreams, Stream, find_machines
from asd_offline.timeline.learning import LearnJob
from asd_offline.timeline.outcome import evaluate_stream
from asd_offline.timeline.play import PlayJob
from asd_offline.timeline.results import PlayedStream, TimelineResult
from asd_offline.timeline.trace import Trace

PRELOADED_MODULES = ("torch", "asd_offline.timeline.play", "asd_offline.timeline.learning")
RESULT_FORMAT = 1
"""Increased whenever the result files of jobs change."""
REPORT, RESULT, MODELS = "report.html", "result.json", "models"

ReportWriter = Callable[[Path, TimelineResult], None]


@dataclass(frozen=True, slots=True)
class TimelineSettings:
    """Which streams are replayed, and how."""

    folder: Path
    """``train/`` and ``streams/``, or folders by machine that hold these."""
    machines: tuple[str, ...] = ()
    """Empty: all."""
    model: str = QUICKSTART
    """A model file, or ``quickstart``: the training recordings of each machine are learned."""
    out: Path | None = None
    channel: int = 0
    device: str = "auto"
    command: str = ""
    """Command line, for the report."""
    jobs: int = field(default_factory=available_cores)
    """Number of processes."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys of makers whose model files may run; empty: all may."""
    cluster: str = ""
    """Address of a Ray cluster that runs the jobs; empty: processes of this computer."""


def replay_timelines(
    settings: TimelineSettings,
    progress: Progress | None = None,
    write_report: ReportWriter | None = None,
) -> TimelineResult:
    """Replay streams, and write the results to ``settings.out`` if that is set.

    As with :func:`asd_offline.replay.replay`, the same call resumes a replay that was stopped.

    Parameters
    ----------
    settings
        Which streams, and how.
    progress
        Receives the stages ``learning`` and ``playing``, in seconds of sound.
    write_report
        Writes ``report.html`` into ``settings.out``; None: no report.

    Raises
    ------
    DatasetError
        If streams, labels or recordings cannot be used, or nothing can be written.
    ModelFileError
        If the model file cannot be used.
    ConfigError
        If a setting is invalid.
    """
    progress = progress or NoProgress()
    model = read_given_model(settings.model, settings.trusted_keys)
    machines = find_machines(
        settings.folder, settings.machines, settings.channel, needs_train=model is None
    )
    settings = replace(settings, device=resolve_device(settings.device, settings.cluster))
    work = choose_work_folder(settings.out) / _digest(settings, model, machines)
    learning = [] if model else [_learn_job(settings, m, work) for m in machines]
    jobs = _play_jobs(settings, model, machines, learning, work)
    create_work_folder(work)
    with sigterm_as_interrupt(), _open_pool(settings, work, progress) as pool:
        _run(pool, learning, progress, "learning")
        with _scoring_pool(pool, settings) as scoring:
            _run(scoring, [*jobs.values()], progress, "playing")
    result = TimelineResult(
        streams=tuple(
            _evaluate(machine.name, stream, jobs[machine.name, stream.name])
            for machine in machines
            for stream in machine.streams
        ),
        learned_s=sum(job.duration_s for job in learning),
        rejected=tuple(file for job in learning for file in read_fit(job.result).rejected),
        model=_describe_model(model, learning),
        alarm=AlarmSettings(),
        folder=settings.folder,
        command=settings.command,
    )
    if settings.out is not None:
        _write(settings.out, result, learning, write_report)
    clean_up(work, keep=settings.out is not None)
    return result


def _open_pool(settings: TimelineSettings, work: Path, progress: Progress) -> Pool:
    return open_pool(
        settings.jobs,
        PRELOADED_MODULES,
        cluster=settings.cluster,
        shared=work,
        device=settings.device,
        notify=progress.message,
    )


@contextmanager
def _scoring_pool(pool: Pool, settings: TimelineSettings) -> Iterator[Pool]:
    """Yield the pool for scores: the given one, or one of fewer processes that share a GPU."""
    workers = limit_workers(settings.jobs, settings.device)
    if settings.cluster or workers == settings.jobs:
        yield pool
        return
    with JobPool(workers, PRELOADED_MODULES) as few:
        yield few


def _run(
    pool: Pool, jobs: "Sequence[LearnJob] | Sequence[PlayJob]", progress: Progress, stage: str
) -> None:
    total = sum(job.work for job in jobs)
    pool.run(jobs, lambda done: progress.update(stage, min(done, total), total))


def _find_target(model: GivenModel | None, machine: str) -> str:
    """Return the target of a machine: its own, or the only one of the model file."""
    if model is None:
        return machine
    targets = model.manifest.targets
    if machine in targets:
        return machine
    if len(targets) == 1:
        return targets[0]
    msg = (
        f"--model {model.path}: expected a target {machine!r}, the name of the folder, found "
        f"{', '.join(targets[:5])}; name the folder of the machine like its target"
    )
    raise ConfigError(msg)


def _learn_job(settings: TimelineSettings, machine: MachineStreams, work: Path) -> LearnJob:
    duration_s = sum(read_length(path).seconds for path in machine.train)
    return LearnJob(
        machine=machine.name,
        recordings=machine.train,
        channel=settings.channel,
        duration_s=duration_s,
        model=work / f"{machine.name}.asd",
        result=work / f"{machine.name}.fit.json",
    )


def _play_jobs(
    settings: TimelineSettings,
    model: GivenModel | None,
    machines: Sequence[MachineStreams],
    learning: Sequence[LearnJob],
    work: Path,
) -> dict[tuple[str, str], PlayJob]:
    """Return a job for each stream, by the names of machine and stream."""
    learned = {job.machine: job.model for job in learning}
    return {
        (machine.name, stream.name): PlayJob(
            stream=stream.path,
            duration_s=stream.duration_s,
            channel=settings.channel,
            device=settings.device,
            model=model.path if model else learned[machine.name],
            target=_find_target(model, machine.name),
            result=work / f"{number:04d}-{index:04d}.json",
            trusted_keys=settings.trusted_keys,
        )
        for number, machine in enumerate(machines)
        for index, stream in enumerate(machine.streams)
    }


def _evaluate(machine: str, stream: Stream, job: PlayJob) -> PlayedStream:
    try:
        trace = Trace.from_json(job.result.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{job.result}: the result of a job cannot be read: {error}; delete it"
        raise DatasetError(msg) from error
    return PlayedStream(
        evaluate_stream(machine, stream.name, trace, stream.spans), trace, stream.spans
    )


def _describe_model(model: GivenModel | None, learning: Sequence[LearnJob]) -> dict[str, object]:
    if model is None:
        return {"name": "quickstart", "revision": None, "file": None, "fitted": len(learning)}
    manifest = model.manifest
    return {
        "name": manifest.name,
        "revision": manifest.revision,
        "file": str(model.path),
        "sha256": model.sha256,
    }


def _write(
    out: Path,
    result: TimelineResult,
    learning: Sequence[LearnJob],
    write_report: ReportWriter | None,
) -> None:
    try:
        for job in learning:
            path = out / MODELS / job.model.name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.model, path)
        text = json.dumps(result.to_dict(), allow_nan=False, indent=2) + "\n"
        (out / RESULT).write_text(text, encoding="utf-8")
        if write_report is not None:
            write_report(out / REPORT, result)
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error


def _digest(
    settings: TimelineSettings, model: GivenModel | None, machines: Sequence[MachineStreams]
) -> str:
    """Return a digest of versions, model, settings and all recordings with sizes and times."""
    digest = hashlib.sha256()
    model_id = model.sha256 if model else QUICKSTART
    facts = [RESULT_FORMAT, __version__, version("torch"), model_id]
    digest.update(json.dumps([*facts, settings.channel, settings.device]).encode())
    for machine in machines:
        for path in [*machine.train, *(stream.path for stream in machine.streams)]:
            identity = [machine.name, str(path.absolute()), *file_version(path)]
            digest.update(json.dumps(identity).encode())
    return f"timeline-{digest.hexdigest()[:24]}"
