"""Windows are cut by sample index, whatever the chunks look like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.audio.windowing import SlidingWindow, clip_windows
from asd_monitor.records import AudioChunk, FloatArray, Window

RATE_HZ = 100


def chunk(samples: FloatArray, start: int, recording: str = "") -> AudioChunk:
    return AudioChunk(samples, start, (start + len(samples)) / RATE_HZ, recording)


def cut(stream: FloatArray, sizes: list[int], window: int, hop: int) -> list[Window]:
    cutter = SlidingWindow("pump", window, hop, RATE_HZ)
    windows, at = [], 0
    for size in sizes:
        windows += cutter.push(chunk(stream[at : at + size], at))
        at += size
    return windows


@st.composite
def chopped_streams(draw: st.DrawFn) -> tuple[FloatArray, list[int], int, int]:
    window = draw(st.integers(1, 40))
    hop = draw(st.integers(1, window))
    sizes = draw(st.lists(st.integers(1, 150), min_size=1, max_size=12))
    return np.arange(sum(sizes), dtype=np.float32), sizes, window, hop


@given(chopped_streams())
def test_windows_do_not_depend_on_chunk_sizes(
    case: tuple[FloatArray, list[int], int, int],
) -> None:
    stream, sizes, window, hop = case
    windows = cut(stream, sizes, window, hop)
    expected = clip_windows(stream, window, hop)
    assert [w.start for w in windows] == list(range(0, len(stream) - window + 1, hop))
    assert len(windows) == len(expected)
    for got, wanted in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(got.samples, wanted)


@given(chopped_streams())
def test_each_window_is_dated_by_its_last_sample(
    case: tuple[FloatArray, list[int], int, int],
) -> None:
    stream, sizes, window, hop = case
    for w in cut(stream, sizes, window, hop):
        assert w.captured_at == pytest.approx((w.start + window) / RATE_HZ)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=12),
    st.integers(1, 25),
)
def test_no_window_spans_a_gap_and_every_lost_sample_is_told_once(
    pieces: list[tuple[int, int]], window: int
) -> None:
    cutter = SlidingWindow("pump", window, max(1, window // 2), RATE_HZ)
    at, told, untold = 0, 0, 0
    for size, lost in pieces:
        samples = np.arange(at, at + size, dtype=np.float32)
        for w in cutter.push(chunk(samples, at)):
            np.testing.assert_array_equal(w.samples, np.arange(w.start, w.start + window))
            told, untold = told + w.lost_samples, 0
        at += size + lost
        untold += lost
    assert told + untold <= sum(lost for _, lost in pieces)
    tail = np.arange(at, at + window, dtype=np.float32)
    told += sum(w.lost_samples for w in cutter.push(chunk(tail, at)))
    assert told == sum(lost for _, lost in pieces)


def test_a_new_recording_starts_anew_and_loses_nothing() -> None:
    cutter = SlidingWindow("pump", 10, 5, RATE_HZ)
    cutter.push(chunk(np.zeros(14, np.float32), 0, "a.wav"))
    windows = cutter.push(chunk(np.ones(10, np.float32), 14, "b.wav"))
    assert [(w.start, w.recording, w.lost_samples) for w in windows] == [(14, "b.wav", 0)]
    assert windows[0].samples.all()


def test_windows_cannot_be_written_to() -> None:
    (window,) = cut(np.zeros(10, np.float32), [10], 10, 10)
    with pytest.raises(ValueError, match="read-only"):
        window.samples[0] = 1


@pytest.mark.parametrize("hop", [0, 11])
def test_a_hop_outside_the_window_is_refused(hop: int) -> None:
    with pytest.raises(ValueError, match=r"expected hop_samples in \[1, 10\]"):
        SlidingWindow("pump", 10, hop, RATE_HZ)


def test_a_clip_shorter_than_a_window_has_none() -> None:
    assert clip_windows(np.zeros(9, np.float32), 10, 5).shape == (0, 10)
