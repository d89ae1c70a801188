"""Listening to a source in tests: collect chunks, wait for a state, compare with the sound."""

import time
from collections.abc import Callable

import numpy as np

from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.sources import AudioSource
from tests.rig.virtual_microphone import PcmArray

TIMEOUT_S = 30.0


def noise(seconds: float, rate_hz: int, seed: int = 0, channels: int = 1) -> PcmArray:
    """Return noise of which any few consecutive samples occur only once."""
    shape = (round(seconds * rate_hz), channels) if channels > 1 else round(seconds * rate_hz)
    return np.random.default_rng(seed).integers(-20000, 20000, shape, dtype=np.int16)


class Listener:
    """Open a source and keep what it delivers."""

    def __init__(self, source: AudioSource) -> None:
        self.source = source
        self.chunks: list[AudioChunk] = []
        self.wakes = 0
        source.open(self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def until(self, condition: Callable[[], bool], what: str) -> SourceHealth:
        """Listen until the condition holds."""
        end_s = time.monotonic() + TIMEOUT_S
        while True:
            self.chunks += self.source.read()
            if condition():
                return self.source.health()
            if time.monotonic() > end_s:
                raise AssertionError(f"waited in vain for {what}; {self.source.health()}")
            time.sleep(0.02)

    def until_state(self, state: SourceState) -> SourceHealth:
        """Listen until the source says that it is in this state."""
        return self.until(lambda: self.source.health().state is state, f"state {state}")

    def until_more(self, samples: int) -> SourceHealth:
        """Listen until so many more samples have come."""
        wanted = self.count + samples
        return self.until(lambda: self.count >= wanted, f"{samples} more samples")

    @property
    def count(self) -> int:
        """Samples delivered."""
        return sum(len(chunk.samples) for chunk in self.chunks)

    @property
    def samples(self) -> FloatArray:
        """All delivered samples, one after the other."""
        return np.concatenate([chunk.samples for chunk in self.chunks])

    @property
    def jumps(self) -> list[int]:
        """Lengths of the gaps between chunks, in samples."""
        ends = [0] + [chunk.start + len(chunk.samples) for chunk in self.chunks]
        gaps = [c.start - end for c, end in zip(self.chunks, ends, strict=False)]
        assert gaps == [chunk.lost_samples for chunk in self.chunks]
        return [gap for gap in gaps if gap]


class Score:
    """Finds where in a sound a few samples come from."""

    LENGTH = 4

    def __init__(self, sound: PcmArray) -> None:
        views = np.lib.stride_tricks.sliding_window_view(sound, self.LENGTH)
        keys = np.ascontiguousarray(views).view(np.int64).ravel()
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def position(self, samples: FloatArray) -> int:
        """Return the index in the sound at which these samples begin."""
        pcm = np.round(samples[: self.LENGTH] * 32768).astype(np.int16)
        at = np.searchsorted(self._keys, pcm.view(np.int64)[0])
        position = int(self._order[min(at, len(self._order) - 1)])
        if self._keys[min(at, len(self._keys) - 1)] != pcm.view(np.int64)[0]:
            raise AssertionError("these samples are not of this sound")
        return position

    def errors(self, chunks: list[AudioChunk]) -> list[int]:
        """Return how far each chunk's ``start`` is from its true place; silence is left out."""
        return [
            chunk.start - self.position(chunk.samples)
            for chunk in chunks
            if len(chunk.samples) >= self.LENGTH and chunk.samples.any()
        ]
