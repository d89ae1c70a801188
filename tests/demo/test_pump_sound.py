"""The demo's pump is endless, does not depend on blocks, and has an audible fault."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.demo.pump_sound import FRAME_SAMPLES, PumpSound
from asd_monitor.synthesis.signals import shaped_noise

PUMP = PumpSound(3)
N_SAMPLES = 3 * FRAME_SAMPLES
REFERENCE = {level: PUMP.block(0, N_SAMPLES, level) for level in (0.0, 0.4)}


def band_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequency_hz = np.fft.rfftfreq(samples.size, 1 / 16000)
    return float(10 * np.log10(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum()))


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, N_SAMPLES), max_size=8),
    level=st.sampled_from([0.0, 0.4]),
    backwards=st.booleans(),
)
def test_sound_does_not_depend_on_how_it_is_cut(
    cuts: list[int], level: float, backwards: bool
) -> None:
    pump = PumpSound(3)
    spans = list(pairwise([0, *sorted(cuts), N_SAMPLES]))
    blocks = {
        (start, stop): pump.block(start, stop - start, level)
        for start, stop in (spans[::-1] if backwards else spans)
    }
    assert np.array_equal(np.concatenate([blocks[span] for span in spans]), REFERENCE[level])


def test_same_seed_same_pump_and_another_seed_another() -> None:
    assert np.array_equal(PumpSound(3).block(0, N_SAMPLES), REFERENCE[0.0])
    assert not np.array_equal(PumpSound(4).block(0, N_SAMPLES), REFERENCE[0.0])


@pytest.mark.parametrize("sample_rate_hz", [8000, 16000, 48000])
def test_sound_is_float32_finite_and_never_clipped(sample_rate_hz: int) -> None:
    pump = PumpSound(5, sample_rate_hz)
    sound = np.concatenate([pump.block(i * 8000, 8000, 1.0) for i in range(60)])
    assert sound.dtype == np.float32
    assert np.all(np.isfinite(sound))
    assert np.abs(sound).max() < 1.0


def test_sound_does_not_end_after_a_month() -> None:
    month = 30 * 86400 * 16000
    sound = PUMP.block(month, 16000)
    assert 0.02 < np.sqrt(np.mean(sound**2)) < 0.2
    assert np.array_equal(sound[100:200], PUMP.block(month + 100, 100))


def test_normal_sound_never_repeats() -> None:
    second = PUMP.block(0, 16000)
    later = np.concatenate([PUMP.block(i * 16000, 16000) for i in range(1, 30)])
    spectrum = np.fft.rfft(second, 2**20).conj() * np.fft.rfft(later, 2**20)
    correlation = np.fft.irfft(spectrum)[: later.size - second.size]
    energy = np.cumsum(later**2)
    local = energy[second.size :] - energy[: -second.size]
    assert np.max(correlation / np.sqrt(local * np.sum(second**2))) < 0.9


def test_fault_grows_with_its_level_in_the_band_of_the_housing() -> None:
    levels_db = [band_db(PUMP.block(0, 160000, level), 2500, 5000) for level in (0, 0.3, 0.6, 1)]
    assert np.all(np.diff(levels_db) > 2.0)
    assert levels_db[-1] - levels_db[0] > 12.0


def test_fault_is_a_train_of_impacts_at_the_bearing_rate() -> None:
    healthy, faulty = (PUMP.block(0, 160000, level).astype(np.float64) for level in (0.0, 1.0))
    envelope = np.abs(faulty - healthy)
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    rate_hz = 40 + 0.1 * np.argmax(spectrum[400:1500])
    assert 3.58 * 23.5 < rate_hz < 3.58 * 25.0


@pytest.mark.parametrize(("start", "n", "level"), [(-1, 10, 0.0), (0, -1, 0.0), (0, 10, 1.5)])
def test_impossible_request_is_refused(start: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="expected start_sample >= 0"):
        PUMP.block(start, n, level)


def test_too_low_a_sample_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8000, got 4000"):
        PumpSound(1, 4000)


def test_shaped_noise_has_the_requested_spectrum() -> None:
    noise = shaped_noise(np.random.default_rng(1), 2**17, 16000, {100.0: 0.0, 1000.0: -20.0})
    per_hz = [band_db(noise, low, low + 200) for low in (1000, 3000, 7000)]
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0)
    assert max(per_hz) - min(per_hz) < 1.0
    assert band_db(noise, 95, 105) - band_db(noise, 2000, 2010) == pytest.approx(20, abs=2)
