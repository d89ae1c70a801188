"""Commissioning: collect a machine's normal sound, keep it, and fit a model to it.

Everything slow (writing recordings, fitting) happens in a thread of its own, so that the
machines beside it are monitored undisturbed.
"""

import hashlib
import io
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.audio.clip_segmenter import ClipSegmenter
from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.audio.quality import assess
from asd_monitor.errors import AsdMonitorError, SourceError
from asd_monitor.records import AudioChunk, FloatArray, LearningProgress, Quality, Window

if TYPE_CHECKING:
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

CLIP_S = 10.0
"""Length of the recordings kept, as in the DCASE sets."""
RETRY_S = 60.0
"""So much more sound is heard before a failed fit is tried again."""
MOST_MORE_S = 600.0
"""So much more than was asked for is kept at most, however often the fit fails, as with a full
disk: memory is for the other machines."""
COMPARED_BYTES = 65_536
"""Recordings with so much in common, from their middle on, are one; a day of them is read fast."""
IN_MEMORY_S = 1800.0
"""So much sound stays in memory until it is fitted (115 MB); what there is more, a day perhaps, is
read from disk when it is needed."""

KEPT_NAMES = "normal_id_00_" + "[0-9]" * 8 + ".wav"

Fit = Callable[[Sequence["Recording"], Callable[[float], None]], Path]
"""Fit a model to recordings and return where it was saved; raises AsdMonitorError. The second
argument is to be called now and then with the part that is done: it raises to end the fit."""


class _StoppedError(Exception):
    """The monitor stops, so the fit is given up."""


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What commissioning came to: a model file, or why there is none yet."""

    machine: str
    model_path: Path | None
    error: AsdMonitorError | None = None
    given_up: bool = False
    """True where nothing more will come of it: it was a fault of the program."""


class Commissioning:
    """Learn one machine's normal sound.

    Parameters
    ----------
    machine
        Name of the machine.
    folder
        Where the recordings are kept: ``normal_id_00_<8 digits>.wav``. Those already there count.
    sample_rate_hz
        Rate of the chunks.
    wanted_s
        How much sound is collected before the model is fitted, in seconds.
    fit
        Fits and saves the model.
    done
        Called, from commissioning's own thread, when there is a model or fitting has failed.
    session
        Names this run, so that recordings made one after the other are known as neighbours.
    anew
        True: the recordings from before do not count towards ``wanted_s``; they are learned from
        as well.
    """

    def __init__(
        self,
        machine: str,
        folder: Path,
        sample_rate_hz: int,
        wanted_s: float,
        *,
        fit: Fit,
        done: Callable[[Commissioned], None],
        session: str,
        anew: bool = False,
    ) -> None:
        self._machine = machine
        self._folder = folder
        self._sample_rate_hz = sample_rate_hz
        self._fit = fit
        self._done = done
        self._session = session
        clip_samples = round(min(CLIP_S, wanted_s) * sample_rate_hz)
        self._cutter = ClipSegmenter(machine, clip_samples, sample_rate_hz)
        self._reader = ClipCache(sample_rate_hz, channel=0)
        self._kept = existing_recordings(folder, self._reader, sample_rate_hz)
        self._learned_s = sum(recording_s(each, sample_rate_hz) for each in self._kept)
        self._wanted_s = wanted_s + (self._learned_s if anew else 0.0)
        self._known = {_middle_of(folder / each.name) for each in self._kept}
        self._most_s = self._wanted_s + MOST_MORE_S
        self._repeated_s = 0.0
        self._rejected: dict[Quality, int] = {}
        self._fitting = False
        self._finishing = False
        self._closing = False
        self._clips: queue.SimpleQueue[Window | None] = queue.SimpleQueue()
        self._queued_s = self._taken_s = 0.0
        self._thread = threading.Thread(target=self._work, name=f"learn-{machine}", daemon=True)

    def start(self) -> None:
        """Begin; a machine with enough recordings is fitted at once."""
        if self._kept:
            logger.info(
                "%s: %d recordings (%.0f s) from before are used",
                self._machine, len(self._kept), self._learned_s,
            )  # fmt: skip
        self._thread.start()

    def push(self, chunk: AudioChunk) -> None:
        """Take audio; returns at once."""
        for clip in self._cutter.push(chunk):
            self._queued_s += len(clip.samples) / self._sample_rate_hz
            self._clips.put(clip)

    def wants_more(self) -> bool:
        """Tell whether more sound is needed than is there; what need not come now can wait."""
        waiting_s = self._queued_s - self._taken_s
        return not self._fitting and self._learned_s + waiting_s < self._wanted_s

    def progress(self) -> LearningProgress:
        """Return how far it has come."""
        partial_s = self._cutter.pending_samples / self._sample_rate_hz
        partial_s += max(0.0, self._queued_s - self._taken_s)  # a clip that is being written
        return LearningProgress(
            machine=self._machine,
            learned_s=min(self._learned_s + partial_s, self._wanted_s),
            wanted_s=self._wanted_s,
            fitting=self._fitting,
        )

    def finish(self) -> None:
        """No more sound will come: fit what there is. May be called again and again."""
        if not self._finishing:
            self._finishing = True
            for clip in self._cutter.finish():
                self._clips.put(clip)
            self._clips.put(None)

    def close(self) -> None:
        """Stop collecting, and give up a fit; what was recorded is kept for the next start."""
        self._closing = True
        self._clips.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait until all is written, or a fit is given up.

        A process that ends while torch still works in a thread is aborted by the system.
        """
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while not self._has_enough() or not self._try_fit():
                clip = self._clips.get()
                if clip is not None:
                    self._keep(clip)
                    self._taken_s += len(clip.samples) / self._sample_rate_hz
                elif not self._closing:
                    self._try_fit()
                    return
                if self._closing:
                    return
        except _StoppedError:
            logger.info("%s: fitting was given up; the recordings are kept", self._machine)
        except Exception as error:  # the thread's top: told, never swallowed
            logger.exception("%s: commissioning stopped", self._machine)
            failure = AsdMonitorError(f"{self._machine}: commissioning stopped: {error!r}")
            self._done(Commissioned(self._machine, None, failure, given_up=True))

    def _has_enough(self) -> bool:
        """Tell whether there is as much as wanted, or only what is known comes, as from a loop."""
        longest_s = RETRY_S if self._learned_s >= self._most_s else self._learned_s
        return self._learned_s >= self._wanted_s or self._repeated_s > longest_s

    def _try_fit(self) -> bool:
        self._fitting = True
        self._repeated_s = 0.0
        try:
            path = self._fit(self._kept, self._note_progress)
        except AsdMonitorError as error:
            logger.warning("%s: no model yet: %s", self._machine, error)
            self._wanted_s = self._learned_s + RETRY_S
            self._done(Commissioned(self._machine, None, error))
            return False
        else:
            self._done(Commissioned(self._machine, path))
            return True
        finally:
            self._fitting = False

    def _note_progress(self, _part: float) -> None:
        if self._closing:
            raise _StoppedError

    def _keep(self, clip: Window) -> None:
        quality = assess(clip.samples).quality
        if quality is not Quality.OK:
            self._rejected[quality] = self._rejected.get(quality, 0) + 1
            logger.warning(
                "%s: a recording was not learned from: %s (%d so far)",
                self._machine, quality, self._rejected[quality],
            )  # fmt: skip
            return
        if self._learned_s >= self._most_s:
            self._repeated_s += len(clip.samples) / self._sample_rate_hz
            return
        content = _encoded(clip.samples, self._sample_rate_hz)
        length_s = len(clip.samples) / self._sample_rate_hz
        middle = _digest(content[len(content) // 2 :][:COMPARED_BYTES])
        if middle in self._known:
            self._note_repeated(length_s)
            return
        self._known.add(middle)
        self._repeated_s = 0.0
        self._kept.append(self._save(clip, content))
        self._learned_s += length_s

    def _note_repeated(self, length_s: float) -> None:
        """Leave out what is known: a recording compared with itself looks far too normal."""
        if not self._repeated_s:
            logger.info("%s: sound that was learned from already is left out", self._machine)
        self._repeated_s += length_s

    def _save(self, clip: Window, content: bytes) -> "Recording":
        from asd_monitor.quickstart import Recording

        name = next_name(self._folder)
        samples: FloatArray | LazyClip = clip.samples
        try:
            _write_whole(self._folder / name, content)
            if self._learned_s >= IN_MEMORY_S:
                samples = LazyClip(self._folder / name, self._reader)
        except (OSError, SourceError) as error:
            logger.warning(
                "%s: recording %s could not be kept on disk (%s); it is still learned from",
                self._machine, name, getattr(error, "strerror", None) or error,
            )  # fmt: skip
        return Recording(
            name=name,
            samples=samples,
            session=clip.recording or self._session,
            start_s=clip.start / self._sample_rate_hz,
        )


def next_name(folder: Path) -> str:
    """Return the next free DCASE 2020 name for a normal recording."""
    numbers = [int(path.stem[-8:]) for path in folder.glob(KEPT_NAMES)]
    return f"normal_id_00_{max(numbers, default=-1) + 1:08d}.wav"


def _encoded(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Return a recording as a file: 24-bit PCM, so that quiet sound keeps its detail."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate_hz, subtype="PCM_24", format="WAV")
    return content.getvalue()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _middle_of(path: Path) -> bytes:
    with path.open("rb") as opened:
        opened.seek(path.stat().st_size // 2)
        return _digest(opened.read(COMPARED_BYTES))


def _write_whole(path: Path, content: bytes) -> None:
    """Write a recording whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_bytes(content)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(path)


def existing_recordings(folder: Path, reader: ClipCache, sample_rate_hz: int) -> list["Recording"]:
    """Read the recordings kept in a folder; those that cannot be read are told and left out."""
    from asd_monitor.quickstart import Recording

    recordings, before_s = [], 0.0
    for path in sorted(folder.glob(KEPT_NAMES)):
        try:
            in_memory = before_s < IN_MEMORY_S
            samples = reader.read(path) if in_memory else LazyClip(path, reader)
        except SourceError as error:
            logger.warning("not learned from: %s", error)
            continue
        start_s = int(path.stem[-8:]) * CLIP_S
        recordings.append(Recording(path.name, samples, session="kept", start_s=start_s))
        before_s += len(samples) / sample_rate_hz
    return recordings


def recording_s(recording: "Recording", sample_rate_hz: int) -> float:
    """Return the length of a recording in seconds."""
    return len(recording.samples) / sample_rate_hz
