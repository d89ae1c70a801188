"""Columns of the live spectrogram."""

import numpy as np
import pytest

from asd_monitor.evidence.ring import SoundRing
from asd_monitor.records import AudioChunk
from asd_monitor.web.spectrum import BANDS, RANGE_DB, ColumnReader, band_edges_hz

RATE_HZ = 16_000


def ring_with(samples: np.ndarray, start: int = 0) -> SoundRing:
    ring = SoundRing(RATE_HZ)
    ring.push(AudioChunk(samples.astype(np.float32), start, 0.0))
    return ring


def sine(hz: float, seconds: float, level_db: float) -> np.ndarray:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound: np.ndarray = 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * at)
    return sound


@pytest.mark.parametrize("hz", [120.0, 440.0, 1000.0, 3500.0, 7000.0])
def test_a_tone_is_in_the_band_of_its_frequency(hz: float) -> None:
    columns = ColumnReader(ring_with(sine(hz, 3, -20)), past_columns=10).read()
    assert columns is not None
    edges = band_edges_hz(RATE_HZ)
    brightest = columns.values[-1].argmax()
    assert edges[max(brightest - 1, 0)] <= hz <= edges[min(brightest + 2, BANDS)]


def test_columns_follow_each_other_ten_times_a_second_and_come_once() -> None:
    ring = ring_with(sine(500, 1, -20))
    reader = ColumnReader(ring)
    counts = []
    for _ in range(10):
        ring.push(AudioChunk(sine(500, 0.25, -20).astype(np.float32), ring.end, 0.0))
        columns = reader.read()
        counts.append(0 if columns is None else len(columns.values))
    assert sum(counts) in (25, 26)
    assert reader.read() is None


def test_a_column_is_in_decibels_below_full_scale() -> None:
    loud = ColumnReader(ring_with(sine(7000, 2, -10)), past_columns=10).read()
    quiet = ColumnReader(ring_with(sine(7000, 2, -40)), past_columns=10).read()
    assert loud is not None
    assert quiet is not None
    difference_db = (float(loud.values.max()) - float(quiet.values.max())) * RANGE_DB / 255
    assert difference_db == pytest.approx(30, abs=1)


def test_silence_is_dark() -> None:
    columns = ColumnReader(ring_with(np.zeros(RATE_HZ)), past_columns=5).read()
    assert columns is not None
    assert columns.values.max() == 0


def test_a_source_that_starts_again_is_followed() -> None:
    ring = ring_with(sine(500, 30, -20))
    reader = ColumnReader(ring)
    ring.push(AudioChunk(sine(500, 1, -20).astype(np.float32), 0, 0.0))  # index 0 again
    reader.read()
    ring.push(AudioChunk(sine(500, 1, -20).astype(np.float32), ring.end, 0.0))
    columns = reader.read()
    assert columns is not None
    assert len(columns.values) == 10


def test_after_a_long_pause_only_the_newest_columns_are_computed() -> None:
    ring = ring_with(sine(500, 1, -20))
    reader = ColumnReader(ring)
    ring.push(AudioChunk(sine(500, 60, -20).astype(np.float32), ring.end, 0.0))
    columns = reader.read()
    assert columns is not None
    assert len(columns.values) == 50
    assert columns.end <= ring.end
