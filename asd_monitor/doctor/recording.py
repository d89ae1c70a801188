"""Record the first seconds of several microphones at the same time."""

import time
from dataclasses import dataclass

from asd_monitor.records import AudioChunk, SourceHealth
from asd_monitor.sources.microphone.source import MicrophoneSource

CAPTURE_S = 2.0
OPEN_TIMEOUT_S = 6.0
POLL_INTERVAL_S = 0.02


@dataclass
class Capture:
    """The audio that a source has delivered so far."""

    source: MicrophoneSource
    chunks: list[AudioChunk]
    health: SourceHealth
    first_chunk_s: float = 0.0
    """Monotonic time at which the first chunk was read."""
    duration_s: float = 0.0
    """Time between the first chunk and the last."""

    def read(self) -> None:
        """Add the chunks that have arrived since the last call."""
        self.health = self.source.health()
        chunks = self.source.read()
        if chunks and not self.chunks:
            self.first_chunk_s = time.monotonic()
        if chunks:
            self.duration_s = time.monotonic() - self.first_chunk_s
        self.chunks += chunks

    @property
    def is_complete(self) -> bool:
        """Whether the source has delivered audio for long enough."""
        return bool(self.chunks) and time.monotonic() - self.first_chunk_s >= CAPTURE_S


def record(sources: list[MicrophoneSource]) -> list[Capture]:
    """Open sources at the same time, and return the first seconds of each."""
    captures = [Capture(source, [], source.health()) for source in sources]
    try:
        for source in sources:
            source.open(lambda: None)
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S + CAPTURE_S
        while (
            not all(capture.is_complete for capture in captures) and time.monotonic() < deadline_s
        ):
            time.sleep(POLL_INTERVAL_S)
            for capture in captures:
                capture.read()
    finally:
        for source in sources:
            source.close()
    return captures
