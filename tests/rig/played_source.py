"""A source whose audio and health are set by the test."""

import threading
from collections.abc import Callable
from dataclasses import replace

from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState


class PlayedSource:
    """An AudioSource that is driven from the test's thread."""

    def __init__(self, machine: str = "pump") -> None:
        self.machine = machine
        self.closed = False
        self.expected: list[tuple[int, int]] = []
        self._wake: Callable[[], None] = lambda: None
        self._chunks: list[AudioChunk] = []
        self._lock = threading.Lock()
        self._start = 0
        self._health = SourceHealth(machine, SourceState.OPENING, "", "test", 0, 0, 0, 0, None)

    def expect_windows(self, end: int, hop_samples: int) -> None:
        self.expected.append((end, hop_samples))

    def open(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.set_state(SourceState.RUNNING)

    def set_state(self, state: SourceState, reason: str = "") -> None:
        self._health = replace(self._health, state=state, reason=reason)
        self._wake()

    def play(self, samples: FloatArray, *, after_gap: int = 0, recording: str = "") -> None:
        """Deliver samples as one chunk, after ``after_gap`` lost samples."""
        self._start += after_gap
        with self._lock:
            self._chunks.append(AudioChunk(samples, self._start, 1000.0, recording, after_gap))
        self._start += len(samples)
        self._wake()

    def read(self) -> list[AudioChunk]:
        with self._lock:
            chunks, self._chunks = self._chunks, []
        return chunks

    def health(self) -> SourceHealth:
        return self._health

    def close(self) -> None:
        self.closed = True
        self.set_state(SourceState.CLOSED)
