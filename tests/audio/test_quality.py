"""Each way a microphone can deceive is seen in the samples."""

import numpy as np
import pytest

from asd_monitor.audio.quality import assess
from asd_monitor.records import FloatArray, Quality

RATE_HZ = 16_000


def noise(level: float = 0.1, n: int = 2 * RATE_HZ) -> FloatArray:
    return (level * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def with_piece(value: float, length: int) -> FloatArray:
    samples = noise()
    samples[5_000 : 5_000 + length] = value
    return samples


def sine(amplitude: float) -> FloatArray:
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "quality"),
    [
        (noise(), Quality.OK),
        (noise(1e-4), Quality.OK),
        (sine(0.5), Quality.OK),
        (noise() + np.float32(0.005), Quality.OK),
        (np.zeros(1000, np.float32), Quality.SILENT),
        (with_piece(0.0, 1600), Quality.SILENT),
        (np.full(1000, 0.25, np.float32), Quality.STUCK),
        (with_piece(0.25, 1600), Quality.STUCK),
        (np.clip(sine(1.5), -1, 1), Quality.CLIPPED),
        (noise(0.01) + np.float32(0.2), Quality.DC),
        (noise(0.001) + np.float32(0.02), Quality.DC),
        (with_piece(np.nan, 1), Quality.NON_FINITE),
        (with_piece(np.inf, 1), Quality.NON_FINITE),
        (with_piece(1e30, 1), Quality.NON_FINITE),
    ],
)
def test_the_gravest_fault_is_named(samples: FloatArray, quality: Quality) -> None:
    assert assess(samples).quality is quality


def test_the_level_is_relative_to_full_scale() -> None:
    assert assess(sine(0.1)).level_dbfs == pytest.approx(-23.01, abs=0.01)


def test_digital_silence_has_no_level() -> None:
    assert assess(np.zeros(1000, np.float32)).level_dbfs is None


def test_a_short_run_of_equal_samples_is_not_a_fault() -> None:
    assert assess(with_piece(0.0, 100)).quality is Quality.OK
