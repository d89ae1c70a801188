"""Faults have the requested level, finite samples, and the character of their name."""

import numpy as np
import pytest

from asd_monitor.synthesis.faults import (
    FAULTS,
    HIGH_FREQUENCY_FAULTS,
    MAX_LEVEL_DB,
    FaultContext,
    add_fault,
    fault_component,
    kinds_at,
    rms,
)
from asd_monitor.synthesis.signals import shaped_noise
from asd_offline.synth.machines import MACHINE_FAULTS, MACHINES

MACHINE = 0.03 * shaped_noise(np.random.default_rng(5), 64000, 16000, {100.0: 0.0, 4000.0: -20.0})


def context(level_db: float, seed: int = 1, sample_rate_hz: int = 16000) -> FaultContext:
    return FaultContext(MACHINE, sample_rate_hz, 20.0, level_db, np.random.default_rng(seed))


@pytest.mark.parametrize("level_db", [0.0, -6.0, -18.0])
@pytest.mark.parametrize("kind", FAULTS)
def test_fault_has_its_level_relative_to_the_machine(kind: str, level_db: float) -> None:
    component, stated_db = fault_component(kind, context(level_db))
    measured_db = 20 * np.log10(rms(component) / rms(MACHINE))
    assert stated_db == min(level_db, MAX_LEVEL_DB.get(kind, 20.0))
    assert measured_db == pytest.approx(stated_db, abs=0.1)
    assert np.all(np.isfinite(component))


@pytest.mark.parametrize("sample_rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("kind", FAULTS)
def test_faulty_clip_is_as_loud_as_its_origin(kind: str, sample_rate_hz: int) -> None:
    faulty = add_fault(kind, context(-3.0, sample_rate_hz=sample_rate_hz))
    assert rms(faulty.sound) == pytest.approx(rms(MACHINE), rel=1e-9)
    assert np.mean(faulty.sound) == pytest.approx(np.mean(MACHINE), abs=1e-9)
    assert not np.allclose(faulty.sound, MACHINE, atol=0.1 * rms(MACHINE))


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_is_finite_for_every_seed(kind: str) -> None:
    for seed in range(20):
        assert np.all(np.isfinite(fault_component(kind, context(-6.0, seed))[0]))


@pytest.mark.parametrize("kind", HIGH_FREQUENCY_FAULTS)
def test_high_frequency_faults_are_above_8_khz_and_need_a_high_rate(kind: str) -> None:
    power = spectrum(fault_component(kind, context(-6.0, sample_rate_hz=48000))[0])
    frequency_hz = np.fft.rfftfreq(MACHINE.size, 1 / 48000)
    assert power[frequency_hz > 8000].sum() > 0.98 * power.sum()
    assert kind in kinds_at(48000)
    assert kind not in kinds_at(16000)


def spectrum(sound: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(sound)) ** 2


def test_missing_band_only_removes_sound() -> None:
    component, _ = fault_component("missing_band", context(-6.0))
    faulty, normal = spectrum(MACHINE + component), spectrum(MACHINE)
    changed = np.abs(faulty - normal) > 1e-6 * normal.max()
    assert changed.any()
    assert np.all(faulty[changed] < 0.05 * normal[changed])


def test_whine_is_a_tone() -> None:
    component, _ = fault_component("whine", context(-6.0))
    power = spectrum(component)
    assert np.sort(power)[-400:].sum() > 0.9 * power.sum()


def test_hiss_is_a_band_of_noise() -> None:
    component, _ = fault_component("hiss", context(-6.0))
    power = spectrum(component)
    frequency_hz = np.fft.rfftfreq(component.size, 1 / 16000)
    assert power[(frequency_hz > 1200) & (frequency_hz < 7800)].sum() > 0.95 * power.sum()
    assert kurtosis(component) < 5.0


@pytest.mark.parametrize("kind", ["impacts", "rattle"])
def test_knocks_are_far_above_their_own_mean_level(kind: str) -> None:
    assert kurtosis(fault_component(kind, context(-6.0))[0]) > 10.0


@pytest.mark.parametrize(("kind", "rate_hz"), [("imbalance", 20.0), ("rubbing", 5.0)])
def test_fault_repeats_with_the_shaft(kind: str, rate_hz: float) -> None:
    component, _ = fault_component(kind, context(-6.0))
    envelope = component**2
    power = spectrum(envelope - envelope.mean())
    frequency_hz = np.fft.rfftfreq(component.size, 1 / 16000)
    near = (frequency_hz > 0.9 * rate_hz) & (frequency_hz < 1.1 * rate_hz)
    above = (frequency_hz > 1.2 * rate_hz) & (frequency_hz < 1.8 * rate_hz)
    assert power[near].max() > 5.0 * power[above].max()


def kurtosis(sound: np.ndarray) -> float:
    return float(np.mean(sound**4) / np.mean(sound**2) ** 2)


def test_every_machine_has_faults_that_exist() -> None:
    assert set(MACHINE_FAULTS) == set(MACHINES)
    assert all(set(kinds) <= set(FAULTS) for kinds in MACHINE_FAULTS.values())
    assert set().union(*MACHINE_FAULTS.values()) == set(FAULTS)
