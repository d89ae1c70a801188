"""The sound of a source is converted to a lower rate without losing its place."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soxr

from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.sources.rate_conversion import ConvertedSource, original

RATE_HZ = 48_000
SOUND = np.random.default_rng(3).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32)


class Scripted:
    """A source that delivers given chunks, one a call."""

    machine = "pump"

    def __init__(self, chunks: list[AudioChunk]) -> None:
        self.expected: tuple[int, int] | None = None
        self._chunks = chunks

    def expect_windows(self, end: int, hop_samples: int) -> None:
        self.expected = (end, hop_samples)

    def open(self, wake: Callable[[], None]) -> None:
        wake()

    def read(self) -> list[AudioChunk]:
        return [self._chunks.pop(0)] if self._chunks else []

    def health(self) -> SourceHealth:
        state = SourceState.RUNNING if self._chunks else SourceState.ENDED
        return SourceHealth(self.machine, state, "", "", 96_000, 48, 0, 0, None, rate_hz=RATE_HZ)

    def close(self) -> None:
        self._chunks = []


def chunks_of(sound: FloatArray, *, start: int = 0, recording: str = "") -> list[AudioChunk]:
    return [
        AudioChunk(sound[first : first + 5000], start + first, first / RATE_HZ, recording)
        for first in range(0, len(sound), 5000)
    ]


def converted(chunks: list[AudioChunk]) -> list[AudioChunk]:
    count = len(chunks)
    source = ConvertedSource(Scripted(chunks), RATE_HZ)
    source.set_rate_hz(16_000)
    return [chunk for _ in range(count) for chunk in source.read()]


def test_the_sound_is_that_of_the_whole_recording_converted() -> None:
    chunks = converted(chunks_of(SOUND))
    expected = soxr.resample(SOUND, RATE_HZ, 16_000, quality="HQ")
    np.testing.assert_allclose(np.concatenate([c.samples for c in chunks]), expected, atol=1e-6)
    ends = [0, *(chunk.start + len(chunk.samples) for chunk in chunks)]
    assert [chunk.start for chunk in chunks] == ends[:-1]
    assert not any(chunk.lost_samples for chunk in chunks)


def test_a_gap_is_as_long_at_the_lower_rate_and_is_counted_once() -> None:
    late = chunks_of(SOUND[:RATE_HZ], start=2 * RATE_HZ)
    chunks = converted(
        [*chunks_of(SOUND[:RATE_HZ]), replace(late[0], lost_samples=RATE_HZ), *late[1:]]
    )
    lost = [chunk for chunk in chunks if chunk.lost_samples]
    assert [(chunk.start, chunk.lost_samples) for chunk in lost] == [(32_000, 16_000)]
    assert chunks[-1].start + len(chunks[-1].samples) == 48_000


def test_two_recordings_are_converted_separately() -> None:
    first = chunks_of(SOUND[:RATE_HZ], recording="a")
    second = chunks_of(SOUND[RATE_HZ : 2 * RATE_HZ], start=RATE_HZ, recording="b")
    chunks = converted([*first, *second])
    for name, start in (("a", 0), ("b", RATE_HZ)):
        sound = np.concatenate([chunk.samples for chunk in chunks if chunk.recording == name])
        whole = soxr.resample(SOUND[start : start + RATE_HZ], RATE_HZ, 16_000, quality="HQ")
        np.testing.assert_allclose(sound, whole, atol=1e-6)


def test_the_rate_is_lowered_while_the_source_runs() -> None:
    source = ConvertedSource(Scripted(chunks_of(SOUND)), RATE_HZ)
    before = [source.read()[0] for _ in range(10)]
    assert before[-1].start == 45_000
    source.set_rate_hz(16_000)
    after = [chunk for _ in range(50) for chunk in source.read()]
    assert after[0].start == 50_000 // 3 + 1
    assert after[0].lost_samples == 0
    assert after[-1].start + len(after[-1].samples) == pytest.approx(len(SOUND) / 3, abs=1)


def test_health_and_window_ends_are_at_the_lower_rate() -> None:
    scripted = Scripted(chunks_of(SOUND))
    source = ConvertedSource(scripted, RATE_HZ)
    source.set_rate_hz(16_000)
    assert (source.health().samples, source.health().lost_samples) == (32_000, 16)
    assert source.health().rate_hz == RATE_HZ
    source.expect_windows(32_000, 16_000)
    assert scripted.expected == (96_000 + 4800, 48_000)
    assert original(source) is scripted
    with pytest.raises(ValueError, match="not a multiple"):
        source.set_rate_hz(44_100)
