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


def mains(
    mains_hz: float, harmonics: int, rate_hz: int = RATE_HZ, seconds: float = 2.0
) -> FloatArray:
    """Return hum as an open input has it: harmonics that become weaker, 16 bits."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    lines = [np.sin(2 * np.pi * k * mains_hz * t + k) / k for k in range(1, harmonics + 1)]
    hum = 0.05 * np.sum(np.asarray(lines), axis=0)
    return np.asarray(np.round(hum * 32768) / 32768, np.float32)


@pytest.mark.parametrize("mains_hz", [49.9, 50.0, 50.1, 59.95, 60.0])
@pytest.mark.parametrize("harmonics", [1, 5, 40])
@pytest.mark.parametrize(("rate_hz", "seconds"), [(16_000, 1.0), (16_000, 10.0), (44_100, 2.0)])
def test_hum_without_any_other_sound_is_a_fault_within_a_window(
    mains_hz: float, harmonics: int, rate_hz: int, seconds: float
) -> None:
    hum = mains(mains_hz, harmonics, rate_hz, seconds)
    assert assess(hum, rate_hz).quality is Quality.HUM
    assert assess(hum + np.float32(0.01), rate_hz).quality is Quality.HUM
    machine = noise(1e-3, len(hum))
    assert assess(hum + machine, rate_hz).quality is Quality.OK


@pytest.mark.parametrize("frequency_hz", [100, 120, 300, 440, 1000])
def test_a_tone_of_a_machine_is_no_hum(frequency_hz: float) -> None:
    tone = mains(frequency_hz, 5)
    assert assess(tone, RATE_HZ).quality is Quality.OK
    assert assess(tone[: RATE_HZ // 2], RATE_HZ).quality is Quality.OK


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
