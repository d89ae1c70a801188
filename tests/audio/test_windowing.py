"""Windows are cut by sample index, however the stream is split into chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.audio.windowing import SlidingWindow, clip_windows
from asd_monitor.records import AudioChunk, FloatArray, Window

RATE_HZ = 100


def chunk(samples: FloatArray, start: int, recording: str = "", lost: int = 0) -> AudioChunk:
    return AudioChunk(samples, start, (start + len(samples)) / RATE_HZ, recording, lost)


def stream_windows(stream: FloatArray, sizes: list[int], window: int, hop: int) -> list[Window]:
    """Cut a stream that arrives in chunks of these sizes."""
    sliding_window = SlidingWindow("pump", window, hop, RATE_HZ)
    windows, start = [], 0
    for size in sizes:
        windows += sliding_window.push(chunk(stream[start : start + size], start))
        start += size
    return windows


@st.composite
def split_streams(draw: st.DrawFn) -> tuple[FloatArray, list[int], int, int]:
    window = draw(st.integers(1, 40))
    hop = draw(st.integers(1, window))
    sizes = draw(st.lists(st.integers(1, 150), min_size=1, max_size=12))
    return np.arange(sum(sizes), dtype=np.float32), sizes, window, hop


@given(split_streams())
def test_windows_do_not_depend_on_chunk_sizes(
    case: tuple[FloatArray, list[int], int, int],
) -> None:
    stream, sizes, window, hop = case
    windows = stream_windows(stream, sizes, window, hop)
    expected = clip_windows(stream, window, hop)
    assert [w.start for w in windows] == list(range(0, len(stream) - window + 1, hop))
    assert len(windows) == len(expected)
    for window_of_stream, samples in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window_of_stream.samples, samples)


@given(split_streams())
def test_each_window_is_dated_by_its_last_sample(
    case: tuple[FloatArray, list[int], int, int],
) -> None:
    stream, sizes, window, hop = case
    for w in stream_windows(stream, sizes, window, hop):
        assert w.captured_at == pytest.approx((w.start + window) / RATE_HZ)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=12),
    st.integers(1, 25),
)
def test_no_window_spans_a_gap_and_every_lost_sample_is_reported_once(
    parts: list[tuple[int, int]], window: int
) -> None:
    sliding_window = SlidingWindow("pump", window, max(1, window // 2), RATE_HZ)
    start, reported, pending = 0, 0, 0
    for size, lost in parts:
        start += lost
        pending += lost
        samples = np.arange(start, start + size, dtype=np.float32)
        for w in sliding_window.push(chunk(samples, start, lost=lost)):
            np.testing.assert_array_equal(w.samples, np.arange(w.start, w.start + window))
            reported, pending = reported + w.lost_samples, 0
        start += size
    total = sum(lost for _, lost in parts)
    assert reported + pending <= total
    tail = np.arange(start, start + window, dtype=np.float32)
    reported += sum(w.lost_samples for w in sliding_window.push(chunk(tail, start)))
    assert reported == total


def test_a_new_recording_restarts_the_window_and_loses_nothing() -> None:
    sliding_window = SlidingWindow("pump", 10, 5, RATE_HZ)
    sliding_window.push(chunk(np.zeros(14, np.float32), 0, "a.wav"))
    windows = sliding_window.push(chunk(np.ones(10, np.float32), 14, "b.wav"))
    assert [(w.start, w.recording, w.lost_samples) for w in windows] == [(14, "b.wav", 0)]
    assert windows[0].samples.all()


def test_windows_cannot_be_written_to() -> None:
    (window,) = stream_windows(np.zeros(10, np.float32), [10], 10, 10)
    with pytest.raises(ValueError, match="read-only"):
        window.samples[0] = 1


@pytest.mark.parametrize("hop", [0, 11])
def test_a_hop_outside_the_window_is_refused(hop: int) -> None:
    with pytest.raises(ValueError, match=r"expected hop_samples in \[1, 10\]"):
        SlidingWindow("pump", 10, hop, RATE_HZ)


def test_a_clip_shorter_than_a_window_has_no_windows() -> None:
    assert clip_windows(np.zeros(9, np.float32), 10, 5).shape == (0, 10)
