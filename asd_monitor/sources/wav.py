"""Audio from recordings, at the pace of real time or as fast as it is read."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sources import MAX_CHUNK_INTERVAL_S
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.playlist import Playlist

CHUNK_S = 0.25
QUEUE_S = 10.0


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
    def is_endless(self) -> bool:
        """Whether the recordings are repeated at the pace of real time, as in a trial."""
        return self.paced and self.loop

    @property
    def description(self) -> str:
        """The files and folders."""
        return f"recordings {', '.join(map(str, self.paths))}"


@dataclass(frozen=True, slots=True)
class _ChunkGrid:
    """Sample indices at which chunks end: every hop from an origin, and evenly in between."""

    origin: int
    hop: int
    chunks_per_hop: int

    @property
    def interval(self) -> float:
        """Samples between two chunk ends."""
        return self.hop / self.chunks_per_hop

    def last_end(self, index: int) -> int:
        """Return the last chunk end that is not beyond an index."""
        count = (index - self.origin) * self.chunks_per_hop // self.hop
        return self.origin + count * self.hop // self.chunks_per_hop


class WavSource:
    """Recordings in sequence; implements :class:`~asd_monitor.sources.AudioSource`.

    Files are read when audio is requested, so a source needs no thread. A paced source behaves
    like a microphone: audio that is not read within ten seconds is lost, and counted. An unpaced
    one waits for its reader and loses nothing; its last sample counts as captured when it is
    opened, so that no event is in the future. A recording that cannot be read is skipped, and
    reported in the log and in the health's reason.

    Parameters
    ----------
    machine
        Name of the machine.
    settings
        Which recordings, and how.
    sample_rate_hz
        Sample rate of the delivered audio: the model's.
    wakeups
        Wakes the reader of a paced source; None: the source makes its own.
    clock, wall_clock
        Monotonic seconds, and seconds since the epoch.

    Raises
    ------
    SourceError
        If a path does not exist, or a folder holds no recording.
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
        self._playlist = Playlist(
            machine, settings.paths, sample_rate_hz, settings.channel, loop=settings.loop
        )
        self._paced = settings.paced
        self._loops = settings.loop
        self._sample_rate_hz = sample_rate_hz
        self._grid = _ChunkGrid(0, round(CHUNK_S * sample_rate_hz), 1)
        self._wakeups = PacedWakeups() if wakeups is None else wakeups
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._state = SourceState.OPENING
        self._opened_s = 0.0
        self._opened_at = 0.0
        self._next_start = 0
        self._delivered_samples = 0
        self._lost_samples = 0
        self._unreported_loss = 0
        self._last_audio_at: float | None = None

    @classmethod
    def build(cls, settings: WavSettings, context: SourceContext) -> Self:
        """Build the source of a monitor's machine."""
        return cls(context.machine, settings, context.sample_rate_hz, context.wakeups)

    def open(self, wake: Callable[[], None]) -> None:
        """Start; played in real time, the first sample is captured now, else the last one."""
        length_s = 0.0 if self._paced or self._loops else self._playlist.duration_s()
        with self._lock:
            self._wake = wake
            self._opened_s = self._clock()
            self._opened_at = self._wall_clock() - length_s
            self._state = SourceState.RUNNING
        if self._paced:
            self._wakeups.add(self._wake_reader, self._grid.interval / self._sample_rate_hz)
        wake()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Deliver audio when it completes a window, and once a second if the hop is longer."""
        chunks_per_hop = math.ceil(hop_samples / (MAX_CHUNK_INTERVAL_S * self._sample_rate_hz))
        with self._lock:
            wake, running = self._wake, self._state is SourceState.RUNNING
            if wake is None or not running or not self._paced:
                return
            self._grid = _ChunkGrid(end, hop_samples, chunks_per_hop)
            origin_s = self._opened_s + end / self._sample_rate_hz
            interval_s = self._grid.interval / self._sample_rate_hz
        self._wakeups.add(self._wake_reader, interval_s, origin_s)
        wake()

    def read(self) -> list[AudioChunk]:
        """Return the audio that is due by the clock, or the next block if not paced."""
        with self._lock:
            if self._state is not SourceState.RUNNING or self._wake is None:
                return []
            chunks = self._due_chunks() if self._paced else self._next_chunk()
            if self._playlist.has_ended:
                self._state = SourceState.ENDED
            self._delivered_samples += sum(len(chunk.samples) for chunk in chunks)
            if chunks:
                self._last_audio_at = chunks[-1].captured_at
            wake, ended = self._wake, self._state is SourceState.ENDED
        if ended and self._paced:
            self._wakeups.remove(self._wake_reader)
        if ended or not self._paced:
            wake()
        return chunks

    def health(self) -> SourceHealth:
        """Return the current health."""
        with self._lock:
            return SourceHealth(
                machine=self.machine,
                state=self._state,
                reason=self._playlist.describe_errors(),
                device=self._playlist.recording,
                samples=self._delivered_samples,
                lost_samples=self._lost_samples,
                overflows=0,
                reopens=0,
                last_audio_at=self._last_audio_at,
                rate_hz=self._playlist.rate_hz,
            )

    def rates_hz(self) -> list[int]:
        """Return the sample rates of all readable recordings, by their headers."""
        return self._playlist.rates_hz()

    def remaining_s(self, sample: int) -> float:
        """Return how much sound follows a sample, in seconds, by the recordings' headers."""
        return max(0.0, self._playlist.duration_s() - sample / self._sample_rate_hz)

    def close(self) -> None:
        """Stop; audio that was not read is discarded."""
        with self._lock:
            wake, self._wake = self._wake, None
            self._state = SourceState.CLOSED
            self._playlist.close()
        if wake is not None and self._paced:
            self._wakeups.remove(self._wake_reader)

    def _wake_reader(self) -> None:
        wake = self._wake
        if wake is not None:
            wake()

    def _due_chunks(self) -> list[AudioChunk]:
        elapsed = int((self._clock() - self._opened_s) * self._sample_rate_hz)
        due = self._grid.last_end(elapsed)
        self._skip_until(due - round(QUEUE_S * self._sample_rate_hz))
        chunks = []
        while self._next_start < due:
            samples = self._playlist.take(due - self._next_start)
            if not len(samples):
                break
            end_s = (self._next_start + len(samples)) / self._sample_rate_hz
            age_s = self._clock() - self._opened_s - end_s
            chunks.append(self._chunk(samples, self._wall_clock() - age_s))
        return chunks

    def _skip_until(self, start: int) -> None:
        """Lose the audio that was due too long ago."""
        while self._next_start < start:
            skipped = len(self._playlist.take(start - self._next_start))
            if not skipped:
                break
            self._next_start += skipped
            self._lost_samples += skipped
            self._unreported_loss += skipped

    def _next_chunk(self) -> list[AudioChunk]:
        """Return the next block, dated as if it had been recorded until the source was opened.

        Of recordings without an end, the first block is dated as if recorded now.
        """
        samples = self._playlist.take(None)
        if not len(samples):
            return []
        end_s = (self._next_start + len(samples)) / self._sample_rate_hz
        return [self._chunk(samples, self._opened_at + end_s)]

    def _chunk(self, samples: FloatArray, captured_at: float) -> AudioChunk:
        start, lost_samples = self._next_start, self._unreported_loss
        self._next_start += len(samples)
        self._unreported_loss = 0
        samples.flags.writeable = False
        return AudioChunk(samples, start, captured_at, self._playlist.recording, lost_samples)
