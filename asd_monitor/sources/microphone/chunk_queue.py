"""The bounded queue between a microphone's thread and the reader of its audio."""

import threading
from collections import deque
from dataclasses import dataclass, replace

from asd_monitor.records import AudioChunk
from asd_monitor.sources.microphone.messages import AudioEnd, CapturedAudio

QUEUE_S = 10.0


@dataclass(frozen=True, slots=True)
class AudioCounts:
    """Counts of all audio since the source was opened."""

    delivered_samples: int
    """Samples that were read."""
    lost_samples: int
    """Samples that were lost before they were queued, or dropped from the queue."""
    audio_end: AudioEnd
    """Where the audio received so far ends."""
    last_audio_at: float | None
    """When its last sample was captured, in seconds since the epoch; None before the first."""


class ChunkQueue:
    """Chunks that have not been read yet.

    Audio that is not read within ``QUEUE_S`` is dropped, oldest first, and counted as lost.

    Parameters
    ----------
    sample_rate_hz
        Sample rate of the audio.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._max_samples = QUEUE_S * sample_rate_hz
        self._lock = threading.Lock()
        self._chunks: deque[AudioChunk] = deque()
        self._queued_samples = 0
        self._counts = AudioCounts(0, 0, AudioEnd(), None)

    @property
    def counts(self) -> AudioCounts:
        """The counts, all of the same moment."""
        return self._counts

    def put(self, audio: CapturedAudio) -> None:
        """Append audio, and drop the oldest chunks while the queue is too long."""
        chunk = AudioChunk(
            audio.samples, audio.start, audio.captured_at, lost_samples=audio.lost_samples
        )
        with self._lock:
            self._chunks.append(chunk)
            self._queued_samples += len(chunk.samples)
            lost = chunk.lost_samples
            while self._queued_samples > self._max_samples and len(self._chunks) > 1:
                lost += self._drop_oldest()
            self._counts = replace(
                self._counts,
                lost_samples=self._counts.lost_samples + lost,
                audio_end=audio.end,
                last_audio_at=audio.captured_at,
            )

    def _drop_oldest(self) -> int:
        """Drop a chunk and return its length; the next chunk then reports all that was lost."""
        oldest = self._chunks.popleft()
        dropped = len(oldest.samples)
        self._queued_samples -= dropped
        lost = oldest.lost_samples + dropped + self._chunks[0].lost_samples
        self._chunks[0] = replace(self._chunks[0], lost_samples=lost)
        return dropped

    def take_all(self) -> list[AudioChunk]:
        """Return all chunks and empty the queue."""
        with self._lock:
            chunks = list(self._chunks)
            self._chunks.clear()
            self._queued_samples = 0
            delivered = self._counts.delivered_samples + sum(len(c.samples) for c in chunks)
            self._counts = replace(self._counts, delivered_samples=delivered)
        return chunks
