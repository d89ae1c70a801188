"""Audio from recordings, at the pace of real time or as fast as it is read."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.audio.files import iter_recording, recording_s
from asd_monitor.errors import SourceError
from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sources import MAX_CHUNK_INTERVAL_S
from asd_monitor.sources.pacing import PacedWakeups

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".w64", ".au"})
CHUNK_S = 0.25
QUEUE_S = 10.0

log = logging.getLogger(__name__)


class WavSettings(BaseModel):
    """Recordings instead of a microphone: a file, a folder, a list, or a section of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    paths: tuple[SettingsPath, ...] = Field(min_length=1)
    """Files, or folders whose recordings are played in the order of their names."""
    channel: int = Field(default=0, ge=0)
    """Counted from 0."""
    paced: bool = True
    """At the pace of real time, like a microphone; else as fast as it is scored."""
    loop: bool = False
    """Start again after the last recording."""

    @model_validator(mode="before")
    @classmethod
    def _paths_alone(cls, value: object) -> object:
        if isinstance(value, str):
            return {"paths": [value]}
        return {"paths": value} if isinstance(value, list) else value

    @property
    def is_live(self) -> bool:
        """Whether the recordings are played at the pace of real time."""
        return self.paced

    @property
    def description(self) -> str:
        """The files and folders."""
        return f"recordings {', '.join(map(str, self.paths))}"


def find_recordings(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """List the recordings that are meant, each with a name: its path within the given folder.

    Raises
    ------
    SourceError
        If a path is not there, or a folder holds no recording.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_file():
            found.append((path.name, path))
        elif path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            if not inside:
                msg = f"{path}: expected recordings, found none ({', '.join(sorted(SUFFIXES))})"
                raise SourceError(msg)
            found += [(str(file.relative_to(path)), file) for file in inside]
        else:
            raise SourceError(f"{path}: expected a recording or a folder of them, found nothing")
    return found


@dataclass(frozen=True, slots=True)
class _Grid:
    """The sample indices up to which audio is delivered."""

    origin: int
    hop: int
    pieces: int
    """So many pieces make a hop, as equal as whole samples can be."""

    @property
    def step(self) -> float:
        """Samples between two points."""
        return self.hop / self.pieces

    def last_until(self, index: int) -> int:
        """Return the last point that is not beyond an index."""
        count = (index - self.origin) * self.pieces // self.hop
        return self.origin + count * self.hop // self.pieces


class WavSource:
    """Deliver recordings one after the other; meets :class:`~asd_monitor.sources.AudioSource`.

    Files are read when audio is asked for, so a source costs no thread. A paced source behaves
    like a microphone: audio that nobody takes for ten seconds is lost, and counted. A fast one
    waits for its reader and loses nothing. A recording that cannot be read is skipped; the
    log and the health's reason say so.

    Parameters
    ----------
    machine
        Name of the machine that is listened to.
    settings
        Which recordings, and how.
    sample_rate_hz
        Rate to deliver at: the model's.
    wakeups
        Wakes the reader of a paced source; None: this source uses its own.
    clock, wall_clock
        Seconds of a clock that never jumps, and since the epoch.

    Raises
    ------
    SourceError
        If a path is not there, or a folder holds no recording.
    """

    def __init__(
        self,
        machine: str,
        settings: WavSettings,
        sample_rate_hz: int,
        wakeups: PacedWakeups | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.machine = machine
        self._recordings = find_recordings(settings.paths)
        self._settings = settings
        self._sample_rate_hz = sample_rate_hz
        self._grid = _Grid(0, round(CHUNK_S * sample_rate_hz), 1)
        self._wakeups = PacedWakeups() if wakeups is None else wakeups
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._state = SourceState.OPENING
        self._opened_s = 0.0
        self._opened_at = 0.0
        self._audio = self._all_audio()
        self._name = ""
        self._pending: FloatArray = np.zeros(0, np.float32)
        self._next_start = 0
        self._delivered = 0
        self._lost = 0
        self._bad: dict[Path, str] = {}
        self._last_audio_at: float | None = None

    def open(self, wake: Callable[[], None]) -> None:
        """Begin; the first recording starts now."""
        with self._lock:
            self._wake = wake
            self._opened_s = self._clock()
            self._opened_at = self._wall_clock()
            self._state = SourceState.RUNNING
        if self._settings.paced:
            self._wakeups.add(self._wake_reader, self._grid.step / self._sample_rate_hz)
        wake()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Deliver audio when it completes a window, and once a second where hops are longer."""
        pieces = math.ceil(hop_samples / (MAX_CHUNK_INTERVAL_S * self._sample_rate_hz))
        with self._lock:
            wake, running = self._wake, self._state is SourceState.RUNNING
            if wake is None or not running or not self._settings.paced:
                return
            self._grid = _Grid(end, hop_samples, pieces)
            began_s = self._opened_s + end / self._sample_rate_hz
            every_s = self._grid.step / self._sample_rate_hz
        self._wakeups.add(self._wake_reader, every_s, began_s)
        wake()

    def read(self) -> list[AudioChunk]:
        """Return what is due by the clock, or the next piece of a source that is not paced."""
        with self._lock:
            if self._state is not SourceState.RUNNING or self._wake is None:
                return []
            chunks = self._due() if self._settings.paced else self._next()
            self._delivered += sum(len(chunk.samples) for chunk in chunks)
            if chunks:
                self._last_audio_at = chunks[-1].captured_at
            wake, ended = self._wake, self._state is not SourceState.RUNNING
        if ended and self._settings.paced:
            self._wakeups.remove(self._wake_reader)
        if ended or not self._settings.paced:
            wake()
        return chunks

    def health(self) -> SourceHealth:
        """Return the present health."""
        with self._lock:
            return SourceHealth(
                machine=self.machine,
                state=self._state,
                reason=self._reason(),
                device=self._name or self._recordings[0][0],
                samples=self._delivered,
                lost_samples=self._lost,
                overflows=0,
                reopens=0,
                last_audio_at=self._last_audio_at,
            )

    def after_s(self, sample: int) -> float:
        """Return how much sound follows this sample, in seconds, by the recordings' headers."""
        total_s = 0.0
        for _, path in self._recordings:
            with suppress(SourceError):
                total_s += recording_s(path, self._settings.channel)
        return max(0.0, total_s - sample / self._sample_rate_hz)

    def close(self) -> None:
        """Stop; what was not read is given up."""
        with self._lock:
            wake, self._wake = self._wake, None
            self._state = SourceState.CLOSED
            self._audio.close()
        if wake is not None and self._settings.paced:
            self._wakeups.remove(self._wake_reader)

    def _wake_reader(self) -> None:
        wake = self._wake
        if wake is not None:
            wake()

    def _reason(self) -> str:
        if not self._bad:
            return ""
        first = next(iter(self._bad.values()))
        return f"skipped {len(self._bad)} of {len(self._recordings)} recordings; first: {first}"

    def _due(self) -> list[AudioChunk]:
        elapsed = int((self._clock() - self._opened_s) * self._sample_rate_hz)
        due = self._grid.last_until(elapsed)
        late = due - round(QUEUE_S * self._sample_rate_hz)
        while self._next_start < late and len(skipped := self._take(late - self._next_start)):
            self._lost += len(skipped)
            self._next_start += len(skipped)
        chunks = []
        while self._next_start < due and len(samples := self._take(due - self._next_start)):
            end_s = (self._next_start + len(samples)) / self._sample_rate_hz
            ago_s = self._clock() - self._opened_s - end_s
            chunks.append(self._chunk(samples, self._wall_clock() - ago_s))
        return chunks

    def _next(self) -> list[AudioChunk]:
        """Return the next piece, dated as if it had been heard at the pace of real time."""
        samples = self._take(None)
        if not len(samples):
            return []
        end_s = (self._next_start + len(samples)) / self._sample_rate_hz
        return [self._chunk(samples, self._opened_at + end_s)]

    def _chunk(self, samples: FloatArray, captured_at: float) -> AudioChunk:
        start, self._next_start = self._next_start, self._next_start + len(samples)
        samples.flags.writeable = False
        return AudioChunk(samples, start, captured_at, self._name)

    def _take(self, most: int | None) -> FloatArray:
        """Return up to ``most`` samples of one recording; none at the end of all."""
        while not len(self._pending):
            try:
                self._name, self._pending = next(self._audio)
            except StopIteration:
                self._state = SourceState.ENDED
                break
        taken, self._pending = self._pending[:most], self._pending[len(self._pending[:most]) :]
        return taken

    def _all_audio(self) -> Generator[tuple[str, FloatArray], None, None]:
        """Yield the name of the recording and its samples, block by block."""
        rounds = 0
        while True:
            rounds += 1
            readable = 0
            for name, path in self._recordings:
                label = name if rounds == 1 else f"{name}#{rounds}"
                try:
                    for samples in iter_recording(
                        path, self._sample_rate_hz, self._settings.channel
                    ):
                        readable += len(samples)
                        yield label, samples
                except SourceError as error:
                    if path not in self._bad:
                        log.warning("%s: skipped: %s", self.machine, error)
                    self._bad[path] = str(error)
            if not self._settings.loop or not readable:
                return


def build_recordings(
    machine: str, settings: WavSettings, sample_rate_hz: int, wakeups: PacedWakeups
) -> WavSource:
    """Build a machine's source."""
    return WavSource(machine, settings, sample_rate_hz, wakeups)
