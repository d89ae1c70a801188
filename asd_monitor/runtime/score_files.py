"""Score many recordings, in this process or in several, with the same result in the same order."""

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_monitor.audio.files import describe_too_short, iter_model_input, read_header
from asd_monitor.errors import SourceError
from asd_monitor.model_file.runtimes import LIBRARIES, ChosenRuntime
from asd_monitor.processes.workers import WORKERS_PER_GPU, exit_with_parent, interrupts_deferred
from asd_monitor.records import FloatArray

if TYPE_CHECKING:
    from asd_monitor.detection.detector import ClipScore, Detector
    from asd_monitor.model_file.loaded_model import LoadedModel

MAX_WAITING_PER_JOB = 16
"""Recordings that may be finished while an earlier, longer one is still being scored."""
POLL_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """Result of one recording: its scores, or why it could not be read."""

    path: Path
    clip: "ClipScore | None"
    rate_hz: int = 0
    """Sample rate of the file."""
    problem: str = ""


Tick = Callable[[float], None]
"""Called with the seconds of sound that were read since the last call."""


@dataclass(frozen=True)
class ScoreJob:
    """What is done with each recording.

    Parameters
    ----------
    model
        The model file.
    content
        Its content, which has been admitted.
    device
        ``cpu`` or ``cuda``: the one that the process that starts workers has chosen.
    target
        Target of the model file.
    channel
        Which channel of the recordings, from 0; the first of several if the model uses several.
    runtime
        What runs the model.
    """

    model: Path
    content: bytes = field(repr=False)
    device: str
    target: str
    channel: int = 0
    runtime: ChosenRuntime = "torchscript"

    def load(self) -> "LoadedModel":
        """Load the model in a worker; it was checked by the process that started the worker."""
        from asd_monitor.model_file.loading import load_verified

        return load_verified(self.content, self.model, self.device, runtime=self.runtime)

    def make_detector(self, model: "LoadedModel") -> "Detector":
        """Return what scores the recordings."""
        from asd_monitor.detection.decision_rule import DecisionRule
        from asd_monitor.detection.detector import Detector

        return Detector(
            model, {self.target: DecisionRule.from_manifest(model.manifest, self.target)}
        )

    def score(self, detector: "Detector", path: Path, tick: Tick) -> ScoredFile:
        """Score a recording; a fault of the file is part of the result."""
        manifest = detector.manifest
        rate_hz = manifest.sample_rate_hz

        def blocks() -> Iterator[FloatArray]:
            channels = range(self.channel, self.channel + manifest.channels)
            for block in iter_model_input(path, rate_hz, channels):
                tick(block.shape[-1] / rate_hz)
                yield block

        try:
            header = read_header(path, self.channel)
            clip = detector.score_blocks(blocks(), str(path), self.target)
            if not clip.windows:
                window_s = manifest.window_samples / rate_hz
                raise SourceError(describe_too_short(path, window_s, header.duration_s))
        except SourceError as error:
            return ScoredFile(path, None, problem=str(error))
        return ScoredFile(path, clip, header.rate_hz)


def score_files(
    paths: Sequence[Path],
    job: ScoreJob,
    model: "LoadedModel",
    workers: int = 1,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Generator[ScoredFile, None, None]:
    """Yield the results of recordings in their order, whatever the number of processes.

    Parameters
    ----------
    paths
        The recordings.
    job
        What is done with each.
    model
        Its model, loaded in this process.
    workers
        Number of processes; with one, this process scores the recordings itself.
    progress
        Called repeatedly with the seconds of sound that were read in all.
    """
    workers = min(workers, len(paths))
    if job.device == "cuda":
        workers = min(workers, WORKERS_PER_GPU)
    if workers > 1:
        with _Workers(job, workers, progress) as pool:
            yield from pool.score(paths)
        return
    detector, done_s = job.make_detector(model), 0.0

    def tick(seconds: float) -> None:
        nonlocal done_s
        done_s += seconds
        progress(done_s)

    for path in paths:
        yield job.score(detector, path, tick)


class _Workers:
    """Processes that score recordings; one that dies costs the recording that it was at."""

    def __init__(self, job: ScoreJob, count: int, progress: Callable[[float], None]) -> None:
        self._job, self._count, self._progress = job, count, progress
        # Workers are forked from a server that has imported what runs models but never used it.
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([LIBRARIES[job.runtime]])
        self._done_s = self._context.Value("d", 0.0)
        self._stop = self._context.Event()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the workers at their next block of sound, and wait for them."""
        self._stop.set()
        self._shut_down()

    def score(self, paths: Sequence[Path]) -> Iterator[ScoredFile]:
        waiting = deque(paths)
        pending: deque[tuple[Path, Future[ScoredFile]]] = deque()
        while waiting or pending:
            while waiting and len(pending) < MAX_WAITING_PER_JOB * self._count:
                path = waiting.popleft()
                pending.append((path, self._submit(path)))
            path, future = pending.popleft()
            try:
                yield self._result_of(future)
            except BrokenProcessPool:
                self._shut_down()
                yield self._score_alone(path)
                # All were lost with the pool, except those that were finished.
                pending = deque(
                    (later, self._submit(later) if _is_lost(result) else result)
                    for later, result in pending
                )

    def _score_alone(self, path: Path) -> ScoredFile:
        """Score a recording after a worker has died, perhaps because of it."""
        try:
            return self._result_of(self._submit(path))
        except BrokenProcessPool:
            self._shut_down()
            problem = f"{path}: the process that scored it ended; was the memory too small?"
            return ScoredFile(path, None, problem=problem)

    def _result_of(self, future: Future[ScoredFile]) -> ScoredFile:
        while not future.done():
            wait([future], POLL_INTERVAL_S, FIRST_COMPLETED)
            self._progress(self._done_s.value)
        return future.result()

    def _submit(self, path: Path) -> Future[ScoredFile]:
        try:
            return self._submit_once(path)
        except BrokenProcessPool:
            self._shut_down()
            return self._submit_once(path)

    def _submit_once(self, path: Path) -> Future[ScoredFile]:
        if self._executor is None:
            arguments = (self._job, self._done_s, self._stop)
            self._executor = ProcessPoolExecutor(
                self._count, self._context, _start_worker, arguments
            )
        with interrupts_deferred():
            return self._executor.submit(_score, path)

    def _shut_down(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)


def _is_lost(future: Future[ScoredFile]) -> bool:
    return not future.done() or future.cancelled() or future.exception() is not None


class _StoppedError(Exception):
    """The command was interrupted."""


# A worker receives these when it starts; they cannot be sent with a recording.
_shared: dict[str, Any] = {}


def _start_worker(job: ScoreJob, done_s: object, stop: object) -> None:
    exit_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared.update(job=job, detector=job.make_detector(job.load()), done_s=done_s, stop=stop)


def _score(path: Path) -> ScoredFile:
    job: ScoreJob = _shared["job"]
    done_s, stop = _shared["done_s"], _shared["stop"]

    def tick(seconds: float) -> None:
        with done_s.get_lock():
            done_s.value += seconds
        if stop.is_set():
            raise _StoppedError

    return job.score(_shared["detector"], path, tick)


def total_duration_s(paths: Iterable[Path], channel: int) -> float:
    """Return the length of the recordings that can be read, by their headers."""
    total_s = 0.0
    for path in paths:
        try:
            total_s += read_header(path, channel).duration_s
        except SourceError:
            continue
    return total_s
