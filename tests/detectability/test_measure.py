"""Faults are injected into held-out sound and played through the detector and the alarm."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.detectability.measure import MeasurementSettings, measure
from asd_monitor.detectability.result import Detectability
from asd_monitor.errors import ConfigError
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.progress import NoProgress
from asd_monitor.quickstart import Recording, fit

RATE_HZ = 8000
QUICK = MeasurementSettings(kinds=("impacts",), levels_db=(0.0, -60.0))


def pump(count: int, first: int = 0) -> list[Recording]:
    sound = PumpSound(3, RATE_HZ)
    return [
        Recording(f"{n}", sound.block(n * 10 * RATE_HZ, 10 * RATE_HZ, 0.0), "one", start_s=10.0 * n)
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return pump(18)


@pytest.fixture(scope="module")
def manifest(recordings: list[Recording]) -> Manifest:
    return fit(recordings, target="pump", sample_rate_hz=RATE_HZ, window_s=2.0).manifest


@pytest.fixture(scope="module")
def measured(recordings: list[Recording], manifest: Manifest) -> Detectability:
    return measure(recordings, manifest, "ab", settings=QUICK)


def test_loud_faults_are_detected_and_inaudible_ones_are_not(measured: Detectability) -> None:
    (impacts,) = measured.faults
    assert impacts.detected_db(60) == 0.0
    assert impacts.detected_db(300) == 0.0
    assert impacts.share(-60.0, 300) == 0.0
    assert measured.trials + measured.alarmed_trials == 5


def test_the_result_names_its_model_and_the_false_alarms_of_its_rules(
    measured: Detectability,
) -> None:
    assert measured.is_of("ab", 1.0)
    assert not measured.is_of("cd", 1.0)
    assert measured.asked_per_month == 1.0
    assert measured.false_alarms_per_month > 1.0  # what 180 s of sound support at best
    assert measured.sound_s == 180.0


def test_a_machine_with_too_few_recordings_says_so(manifest: Manifest) -> None:
    short = measure(pump(5), manifest, "ab", settings=QUICK)
    assert short.faults == ()
    assert "at least 180 s of normal sound" in short.problem
    assert "found 50 s" in short.problem


def test_sound_that_alarms_without_a_fault_is_not_counted_as_detected(manifest: Manifest) -> None:
    # Every 40 s it is another machine: what is held out was never learned.
    rng = np.random.default_rng(1)
    second = np.arange(10 * RATE_HZ) / RATE_HZ
    changing = [
        Recording(
            f"{n}",
            (
                0.1 * np.sin(2 * np.pi * 300.0 * 1.7 ** (n // 4) * second)
                + rng.normal(0, 0.02, second.size)
            ).astype(np.float32),
        )
        for n in range(20)
    ]
    found = measure(changing, manifest, "ab", settings=QUICK)
    assert found.alarmed_trials >= 3
    assert found.faults == ()
    assert "normal sound that was held out raised the alarm by itself" in found.problem


def test_a_slow_computer_ends_with_the_trials_that_are_complete(
    measured: Detectability, recordings: list[Recording], manifest: Manifest
) -> None:
    def tick() -> Iterator[float]:
        for now in range(1000):
            yield 10.0 * now

    clock = tick()
    limited = replace(QUICK, max_cpu_s=65.0, cpu_clock=lambda: next(clock))
    found = measure(recordings, manifest, "ab", settings=limited)
    assert found.trials == 3
    assert found.faults[0].lowest_db[300] == measured.faults[0].lowest_db[300][:3]
    clock = tick()
    none = measure(recordings, manifest, "ab", settings=replace(limited, max_cpu_s=5.0))
    assert none.faults == ()
    assert "too slow" in none.problem


def test_the_measurement_can_be_aborted(recordings: list[Recording], manifest: Manifest) -> None:
    class Abort(NoProgress):
        def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(recordings, manifest, "ab", settings=QUICK, progress=Abort())


def test_a_trained_model_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ConfigError, match="expected a model made by `learn`"):
        measure([], replace(manifest, name="autoencoder"), "ab")
