"""Commissioning: collect a machine's normal sound, store it, and fit a model to it.

Everything slow (writing recordings, fitting) is done in a separate thread, so that other machines
are monitored without interruption.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.audio.clip_segmenter import ClipSegmenter
from asd_monitor.errors import AsdMonitorError
from asd_monitor.progress import NoProgress, Progress
from asd_monitor.records import AudioChunk, LearningProgress, Rejection, Window
from asd_monitor.runtime.recording_store import CLIP_S, RecordingStore
from asd_monitor.runtime.rejected_sound import RejectedSound

if TYPE_CHECKING:
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

RETRY_S = 60.0
"""After a failed fit, this much more sound is collected before the next attempt."""
MAX_EXTRA_S = 600.0
"""At most this much more sound than requested is kept, however often the fit fails (on a full
disk, for example), so that memory is left for the other machines."""

MAX_QUEUED_S = 60.0
"""Recordings that are read as fast as possible are paused while this much sound waits to be stored:
otherwise all of it would be in memory before the disk has it."""

PAUSED = "learning is paused: nothing is collected until it is continued on the web page"


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model that was fitted, and its file."""

    path: Path
    content: bytes | None = None
    """Content of a file that could not be written yet; None if it was."""
    problem: str = ""
    """Why it could not be written."""


Fit = Callable[[Sequence["Recording"], Progress], FittedModel]
"""Fit a model to recordings and save it; raises AsdMonitorError. Progress must be reported
regularly: the call raises to abort the fit."""


class _AbortedError(Exception):
    """The monitor stops, so the fit is aborted."""


class _AbortIf(NoProgress):
    """Aborts a fit, when it reports progress, once a condition is met."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Raise if the condition is met."""
        if self._condition():
            raise _AbortedError


@dataclass(frozen=True, slots=True)
class CommissioningResult:
    """Result of a fit: a model, or why there is none yet."""

    machine: str
    model: FittedModel | None
    error: AsdMonitorError | None = None
    is_fatal: bool = False
    """True where no further attempt follows, because of an internal error."""


class Commissioning:
    """Learn one machine's normal sound.

    Parameters
    ----------
    machine
        Name of the machine.
    store
        The machine's recordings. Those already in it count towards ``required_s``.
    required_s
        Seconds of sound to collect before the model is fitted.
    fit
        Fits and saves the model.
    on_result
        Called, from the commissioning thread, after each fit.
    on_room
        Called, from the commissioning thread, when :meth:`needs_more` may be true again.
    extend_existing
        Collect ``required_s`` in addition to the recordings already in the store. The model is
        fitted to all of them.
    """

    def __init__(
        self,
        machine: str,
        store: RecordingStore,
        required_s: float,
        *,
        fit: Fit,
        on_result: Callable[[CommissioningResult], None],
        on_room: Callable[[], None] = lambda: None,
        extend_existing: bool = False,
    ) -> None:
        self._machine = machine
        self._store = store
        self._rate_hz = store.sample_rate_hz
        self._fit = fit
        self._on_result = on_result
        self._on_room = on_room
        clip_samples = round(min(CLIP_S, required_s) * self._rate_hz)
        self._segmenter = ClipSegmenter(machine, clip_samples, self._rate_hz)
        self._required_s = required_s + (store.duration_s if extend_existing else 0.0)
        self._max_s = self._required_s + MAX_EXTRA_S
        self._skipped_s = 0.0
        self._rejected = RejectedSound(machine)
        self._fit_problem = ""
        self._fitting = False
        self._finishing = False
        self._closing = False
        self._paused = False
        self._clips: queue.SimpleQueue[Window | None] = queue.SimpleQueue()
        self._queued_s = self._processed_s = 0.0
        self._thread = threading.Thread(target=self._work, name=f"learn-{machine}", daemon=True)

    def start(self) -> None:
        """Start; a machine with enough recordings is fitted at once."""
        if self._store.recordings:
            logger.info(
                "%s: %d existing recordings (%.0f s) are used",
                self._machine, len(self._store.recordings), self._store.duration_s,
            )  # fmt: skip
        self._thread.start()

    def push(self, chunk: AudioChunk) -> None:
        """Queue audio; return at once."""
        if self._paused:
            for clip in self._segmenter.finish():
                self._queue(clip)
            return
        cut_short = self._segmenter.pending_samples if chunk.lost_samples else 0
        if cut_short:
            description = (
                "audio was lost, so a recording was cut short: is this computer overloaded, or the "
                "microphone's connection loose?"
            )
            self._rejected.add(Rejection.LOST, description, cut_short / self._rate_hz)
        for clip in self._segmenter.push(chunk):
            self._queue(clip)

    def _queue(self, clip: Window) -> None:
        self._queued_s += self._length_s(clip)
        self._clips.put(clip)

    @property
    def is_paused(self) -> bool:
        """Whether sound is not collected at present."""
        return self._paused

    def pause(self) -> None:
        """Collect no sound until :meth:`resume`; what was collected is kept. From any thread."""
        self._paused = True

    def resume(self) -> None:
        """Collect sound again; from any thread."""
        self._paused = False

    def needs_more(self) -> bool:
        """Return whether more sound is needed than is stored and queued, and may be queued."""
        waiting_s = self._queued_s - self._processed_s
        if self._fitting or waiting_s >= MAX_QUEUED_S:
            return False
        return self._store.duration_s + waiting_s < self._required_s

    def progress(self) -> LearningProgress:
        """Return how much sound has been collected, and why not more.

        The recording in progress counts, unless the last one was rejected: the progress would
        otherwise rise and fall for as long as the problem lasts.
        """
        partial_s = 0.0
        if not self._rejected.problem:
            partial_s = self._segmenter.pending_samples / self._rate_hz
            partial_s += max(0.0, self._queued_s - self._processed_s)  # a clip being written
        return LearningProgress(
            machine=self._machine,
            learned_s=min(self._store.duration_s + partial_s, self._required_s),
            required_s=self._required_s,
            fitting=self._fitting,
            problem=PAUSED if self._paused else self._rejected.problem or self._fit_problem,
            rejected_s=dict(self._rejected.seconds),
        )

    def finish(self) -> None:
        """Fit what has been collected, as no more sound will follow; may be called repeatedly."""
        if not self._finishing:
            self._finishing = True
            for clip in self._segmenter.finish():
                self._clips.put(clip)
            self._clips.put(None)

    def close(self) -> None:
        """Stop collecting and abort a fit; stored recordings are used at the next start."""
        self._closing = True
        self._clips.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait until all recordings are written, or a fit is aborted.

        The system aborts a process that ends while torch is still working in a thread.
        """
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while not self._has_enough() or not self._try_fit():
                clip = self._clips.get()
                if clip is not None:
                    self._store_clip(clip)
                    self._processed_s += self._length_s(clip)
                    self._on_room()
                elif not self._closing:
                    self._try_fit()
                    return
                if self._closing:
                    return
        except _AbortedError:
            logger.info("%s: fitting was aborted; the recordings are kept", self._machine)
        except Exception as error:  # the thread's top: reported, never swallowed
            logger.exception("%s: commissioning stopped", self._machine)
            failure = AsdMonitorError(f"{self._machine}: commissioning stopped: {error!r}")
            self._on_result(CommissioningResult(self._machine, None, failure, is_fatal=True))

    def _has_enough(self) -> bool:
        """Return whether there is enough sound, or only duplicates arrive, as from a loop."""
        stored_s = self._store.duration_s
        max_skipped_s = RETRY_S if stored_s >= self._max_s else stored_s
        return stored_s >= self._required_s or self._skipped_s > max_skipped_s

    def _try_fit(self) -> bool:
        self._fitting = True
        self._skipped_s = 0.0
        try:
            self._store.settle_rate()
            model = self._fit(self._store.recordings, _AbortIf(lambda: self._closing))
        except AsdMonitorError as failure:
            error = self._explain(failure)
            self._fit_problem = f"no model yet: {error}"
            logger.warning("%s: %s", self._machine, self._fit_problem)
            self._required_s = self._store.duration_s + RETRY_S
            self._on_result(CommissioningResult(self._machine, None, error))
            return False
        else:
            self._on_result(CommissioningResult(self._machine, model))
            return True
        finally:
            self._fitting = False

    def _explain(self, failure: AsdMonitorError) -> AsdMonitorError:
        """Add to a failure of the fit which sound was not learned from."""
        rejected = self._rejected.describe()
        if not rejected:
            return failure
        latest = self._rejected.latest_description
        return type(failure)(f"{failure}; not learned from: {rejected}: {latest}")

    def _store_clip(self, clip: Window) -> None:
        """Store a clip, unless it is unusable, too much, or a duplicate."""
        length_s = self._length_s(clip)
        if not self._rejected.assess(clip.samples, self._rate_hz):
            return
        if self._store.duration_s >= self._max_s:
            self._skipped_s += length_s
        elif self._store.add(clip):
            self._skipped_s = 0.0
            self._rejected.accept()
        else:
            # A duplicate would be held out and compared with itself: its score is far too low.
            description = "the same sound was recorded before: record more, or other recordings"
            self._rejected.add(Rejection.DUPLICATE, description, length_s)
            self._skipped_s += length_s

    def _length_s(self, clip: Window) -> float:
        return len(clip.samples) / self._rate_hz
