"""Listening to a source in tests: collect chunks, wait for a state, compare with a sound."""

import time
from collections.abc import Callable

import numpy as np

from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.sources import AudioSource
from tests.rig.virtual_microphone import PcmArray

TIMEOUT_S = 240.0


def noise(seconds: float, rate_hz: int, seed: int = 0, channels: int = 1) -> PcmArray:
    """Return noise in which no short sequence of samples occurs twice."""
    shape = (round(seconds * rate_hz), channels) if channels > 1 else round(seconds * rate_hz)
    return np.random.default_rng(seed).integers(-20000, 20000, shape, dtype=np.int16)


class Listener:
    """An open source and the audio that it has delivered."""

    def __init__(self, source: AudioSource) -> None:
        self.source = source
        self.chunks: list[AudioChunk] = []
        self.wakes = 0
        source.open(self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def until(self, condition: Callable[[], bool], what: str) -> SourceHealth:
        """Listen until a condition is met."""
        end_s = time.monotonic() + TIMEOUT_S
        while True:
            self.chunks += self.source.read()
            if condition():
                return self.source.health()
            if time.monotonic() > end_s:
                raise AssertionError(f"timed out waiting for {what}; {self.source.health()}")
            time.sleep(0.02)

    def until_state(self, state: SourceState) -> SourceHealth:
        """Listen until the source's health reports a state."""
        return self.until(lambda: self.source.health().state is state, f"state {state}")

    def until_more(self, samples: int) -> SourceHealth:
        """Listen until this many more samples have arrived."""
        target = self.count + samples
        return self.until(lambda: self.count >= target, f"{samples} more samples")

    @property
    def count(self) -> int:
        """Number of samples delivered."""
        return sum(len(chunk.samples) for chunk in self.chunks)

    @property
    def samples(self) -> FloatArray:
        """All delivered samples, concatenated."""
        return np.concatenate([chunk.samples for chunk in self.chunks])

    @property
    def gaps(self) -> list[int]:
        """Lengths of the gaps between chunks, in samples."""
        ends = [0] + [chunk.start + len(chunk.samples) for chunk in self.chunks]
        steps = [chunk.start - end for chunk, end in zip(self.chunks, ends, strict=False)]
        assert steps == [chunk.lost_samples for chunk in self.chunks]
        return [step for step in steps if step]


class SoundIndex:
    """An index of a sound that finds the position of a few of its samples."""

    LENGTH = 4

    def __init__(self, sound: PcmArray) -> None:
        views = np.lib.stride_tricks.sliding_window_view(sound, self.LENGTH)
        keys = np.ascontiguousarray(views).view(np.int64).ravel()
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def position(self, samples: FloatArray) -> int:
        """Return the index of the sound at which these samples start."""
        pcm = np.round(samples[: self.LENGTH] * 32768).astype(np.int16)
        key = pcm.view(np.int64)[0]
        rank = min(int(np.searchsorted(self._keys, key)), len(self._keys) - 1)
        if self._keys[rank] != key:
            raise AssertionError("these samples are not of this sound")
        return int(self._order[rank])

    def errors(self, chunks: list[AudioChunk]) -> list[int]:
        """Return how far each chunk's ``start`` is from its position; silence is left out."""
        return [
            chunk.start - self.position(chunk.samples)
            for chunk in chunks
            if len(chunk.samples) >= self.LENGTH and chunk.samples.any()
        ]
