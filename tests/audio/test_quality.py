"""Faults of a microphone are found in the samples of a window."""

import numpy as np
import pytest

from asd_monitor.audio.quality import assess, without_offset
from asd_monitor.records import FloatArray, Quality

RATE_HZ = 16_000


def noise(level: float = 0.1, n: int = 2 * RATE_HZ) -> FloatArray:
    return (level * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def with_constant_part(value: float, length: int) -> FloatArray:
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
        (with_constant_part(0.0, 1600), Quality.SILENT),
        (np.full(1000, 0.25, np.float32), Quality.STUCK),
        (with_constant_part(0.25, 1600), Quality.STUCK),
        (np.clip(sine(1.5), -1, 1), Quality.CLIPPED),
        (noise(0.01) + np.float32(0.2), Quality.DC),
        (noise(0.001) + np.float32(0.02), Quality.OK),
        (noise(2e-5) + np.float32(0.02), Quality.DC),
        (with_constant_part(np.nan, 1), Quality.NON_FINITE),
        (with_constant_part(np.inf, 1), Quality.NON_FINITE),
        (with_constant_part(1e30, 1), Quality.NON_FINITE),
    ],
)
def test_the_most_serious_fault_is_reported(samples: FloatArray, quality: Quality) -> None:
    assert assess(samples).quality is quality


def test_the_level_is_relative_to_full_scale() -> None:
    assert assess(sine(0.1)).level_dbfs == pytest.approx(-23.01, abs=0.01)


def test_digital_silence_has_no_level() -> None:
    assert assess(np.zeros(1000, np.float32)).level_dbfs is None


@pytest.mark.parametrize(
    ("clipped_fraction", "quality"), [(0.009, Quality.OK), (0.011, Quality.CLIPPED)]
)
def test_a_window_is_clipped_from_one_percent_of_samples_at_full_scale(
    clipped_fraction: float, quality: Quality
) -> None:
    samples = noise()
    samples[:: round(1 / clipped_fraction)] = 1.0
    assert assess(samples).quality is quality


def test_a_short_run_of_equal_samples_is_not_a_fault() -> None:
    assert assess(with_constant_part(0.0, 100)).quality is Quality.OK


@pytest.mark.parametrize("offset", [0.005, -0.05])
def test_an_offset_is_separated_from_the_sound(offset: float) -> None:
    sound = noise(0.001)
    assessment = assess(sound + np.float32(offset))
    assert assessment.quality is Quality.OK
    assert assessment.offset == pytest.approx(offset, abs=1e-4)
    assert assessment.level_dbfs == pytest.approx(-60.0, abs=0.1)
    np.testing.assert_allclose(without_offset(sound + np.float32(offset)), sound, atol=2e-5)


@pytest.mark.parametrize("length", [800, 2 * RATE_HZ])
def test_sound_without_an_offset_stays_exactly_as_it_is(length: int) -> None:
    for samples in (noise(n=length), sine(0.1)[:length]):
        assert assess(samples).offset == 0.0
        assert without_offset(samples) is samples
