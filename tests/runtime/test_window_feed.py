"""Windows of one machine: late ones are counted, and the source is informed where they end."""

import numpy as np
import pytest

from asd_monitor.records import AudioChunk
from asd_monitor.runtime.window_feed import WindowFeed
from tests.rig.played_source import PlayedSource
from tests.rig.toy_model import RATE_HZ, manifest


def feed_of(hop_s: float, source: PlayedSource | None = None) -> WindowFeed:
    hop_samples = round(hop_s * RATE_HZ)
    described = manifest(window_samples=hop_samples, hop_samples=hop_samples)
    return WindowFeed("pump", source or PlayedSource(), described)


def chunk(samples: int, start: int = 0, lost_samples: int = 0) -> AudioChunk:
    silence = np.zeros(samples, np.float32)
    return AudioChunk(silence, start, captured_at=0.0, lost_samples=lost_samples)


@pytest.mark.parametrize(("hop_s", "waiting"), [(0.1, 60), (1.0, 6), (2.0, 4), (10.0, 4)])
def test_windows_are_late_beyond_six_seconds_and_beyond_four_windows(
    hop_s: float, waiting: int
) -> None:
    feed = feed_of(hop_s)
    windows = feed.push(chunk(round((waiting + 1) * hop_s * RATE_HZ)))
    assert len(windows) == waiting + 1
    assert feed.count_late(windows) == 1
    assert feed.count_late(windows[1:]) == 0


def test_the_source_is_informed_again_only_when_a_gap_moves_the_windows() -> None:
    source = PlayedSource()
    feed = feed_of(0.1, source)
    for start, lost_samples in ((0, 0), (800, 0), (1600, 0), (2477, 77)):
        feed.push(chunk(800, start, lost_samples))
        feed.announce_window_ends()
    assert source.expected == [(1600, 800), (4077, 800)]
