"""The ring keeps the newest sound, counts gaps as silence, and never mixes old and new sound."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.evidence.ring import FULL_SCALE, SoundRing
from asd_monitor.records import AudioChunk

RATE_HZ = 1000


def chunk(start: int, values: np.ndarray, lost: int = 0) -> AudioChunk:
    return AudioChunk(values.astype(np.float32), start, 0.0, lost_samples=lost)


def ramp(start: int, count: int) -> np.ndarray:
    """Return samples that name their own index."""
    return (np.arange(start, start + count) % 30_000) / FULL_SCALE


@given(
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=20),
    gaps=st.lists(st.integers(0, 900), min_size=20, max_size=20),
    first=st.integers(0, 5000),
)
def test_each_sample_is_at_its_index_and_lost_sound_is_zero(
    sizes: list[int], gaps: list[int], first: int
) -> None:
    ring = SoundRing(RATE_HZ, length_s=1.0)
    expected: dict[int, int] = {}
    position = first
    for index, (size, gap) in enumerate(zip(sizes, gaps, strict=False)):
        lost = gap if index else 0
        expected |= dict.fromkeys(range(position, position + lost), 0)
        position += lost
        ring.push(chunk(position, ramp(position, size), lost))
        expected |= {i: i % 30_000 for i in range(position, position + size)}
        position += size
    kept = ring.snapshot()
    assert kept.end == position
    assert kept.start == max(first, position - RATE_HZ)
    assert kept.samples.tolist() == [expected[i] for i in range(kept.start, kept.end)]


def test_a_cut_is_limited_to_what_is_still_there() -> None:
    ring = SoundRing(RATE_HZ, length_s=1.0)
    ring.push(chunk(0, ramp(0, 3000)))
    assert (ring.cut(0, 2500).start, ring.cut(0, 2500).end) == (2000, 2500)
    assert len(ring.cut(0, 100).samples) == 0
    assert ring.cut(2900, 9000).end == 3000


@pytest.mark.parametrize("value", [2.0, -2.0, np.nan])
def test_samples_out_of_range_do_not_wrap_around(value: float) -> None:
    ring = SoundRing(RATE_HZ, length_s=1.0)
    ring.push(chunk(0, np.array([value])))
    expected = {2.0: FULL_SCALE, -2.0: -FULL_SCALE - 1}.get(value, 0)
    assert ring.snapshot().samples.tolist() == [expected]


def test_the_memory_of_90_s_at_16_khz_is_2_9_mb() -> None:
    assert SoundRing(16_000).nbytes == 2_880_000


def test_a_reader_never_sees_sound_of_another_time_while_the_ring_is_written() -> None:
    ring = SoundRing(RATE_HZ, length_s=2.0)
    stop, failures = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            kept = ring.snapshot()
            expected = np.arange(kept.start, kept.end) % 30_000
            if not np.array_equal(kept.samples, expected):
                failures.append(kept.start)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for position in range(0, 300_000, 300):
        ring.push(chunk(position, ramp(position, 300)))
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures
