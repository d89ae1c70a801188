"""The lowest sample rate is chosen that contains all sound above the noise floor."""

from collections.abc import Callable

import numpy as np
import pytest
import soxr

from asd_monitor.audio.bandwidth import choose_rate_hz
from asd_monitor.records import FloatArray

RATE_HZ = 96_000
SECONDS = 10
TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def noise(level_dbfs: float, low_hz: float = 0, high_hz: float = RATE_HZ / 2) -> FloatArray:
    """Return noise with the density of white noise of a level, between two frequencies."""
    white = np.random.default_rng(int(low_hz)).normal(size=len(TIME_S))
    spectrum = np.fft.rfft(white)
    frequency_hz = np.fft.rfftfreq(len(white), 1 / RATE_HZ)
    spectrum[(frequency_hz < low_hz) | (frequency_hz >= high_hz)] = 0
    return np.asarray(10 ** (level_dbfs / 20) * np.fft.irfft(spectrum), np.float32)


def machine() -> FloatArray:
    """Return a motor below 5 kHz, with the noise of a microphone."""
    return noise(-30, 0, 5000) + noise(-80)


def ringing() -> FloatArray:
    burst = np.exp(-(TIME_S % 2) / 0.02) * np.sin(2 * np.pi * 15_000 * TIME_S)
    return np.asarray(1e-3 * burst, np.float32)


def tone(frequency_hz: float) -> FloatArray:
    return np.asarray(1e-4 * np.sin(2 * np.pi * frequency_hz * TIME_S), np.float32)


@pytest.mark.parametrize(
    ("sound", "expected_hz"),
    [
        (machine, 16_000),
        (lambda: noise(-60), 16_000),
        (lambda: machine() + noise(-70, 12_000, 20_000), 48_000),
        (lambda: machine() + noise(-87, 12_000, 20_000), 16_000),
        (lambda: machine() + ringing(), 48_000),
        (lambda: machine() + tone(10_000), 48_000),
        (lambda: machine() + tone(30_000), 96_000),
    ],
    ids=["motor", "white noise", "hiss", "hiss below the noise", "rare ringing", "tone", "high"],
)
def test_the_rate_contains_what_exceeds_the_noise_of_the_microphone(
    sound: Callable[[], FloatArray], expected_hz: int
) -> None:
    samples = sound()
    assert choose_rate_hz([samples, samples[:RATE_HZ]], RATE_HZ, [16_000, 48_000]) == expected_hz


@pytest.mark.parametrize("bits", [16, 24])
def test_sound_that_was_converted_from_a_lower_rate_needs_no_higher_one(bits: int) -> None:
    lower = soxr.resample(noise(-20), RATE_HZ, 16_000, quality="HQ")
    steps = 2 ** (bits - 1)
    dither = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * len(lower))
    samples = np.rint(steps * soxr.resample(lower, 16_000, 48_000, quality="HQ") + dither) / steps
    assert choose_rate_hz([samples.astype(np.float32)], 48_000, [16_000]) == 16_000
