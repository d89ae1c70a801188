"""Speech, vehicles and impacts are recognised in a machine's sound; its faults are not."""

import numpy as np
import pytest

from asd_monitor.detection.passing.classifier import PassingSoundClassifier
from asd_monitor.records import PassingSound
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_offline.synth.timeline.disturbances import DISTURBANCES

RATE_HZ = 16_000
WINDOW = 2 * RATE_HZ
NORMAL_P, UNUSUAL_P = 0.5, 0.001


def machine(seconds: int, seed: int = 0) -> np.ndarray:
    """Return the hum and the noise of a machine."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * 49.0 * order * time_s) / order for order in (1, 2, 3, 5))
    noise = np.convolve(rng.standard_normal(time_s.size), [0.3, 0.5, 0.3], "same")
    return np.asarray(0.02 * (hum + noise))


def kinds(sound: np.ndarray) -> list[PassingSound | None]:
    """Return the kinds of the windows of an unusual sound, after ordinary ones."""
    classifier = PassingSoundClassifier(WINDOW, RATE_HZ)
    usual = machine(80, seed=1).astype(np.float32)
    for start in range(0, len(usual), WINDOW):
        classifier.classify(usual[start : start + WINDOW], start, NORMAL_P)
    return [
        classifier.classify(
            sound[start : start + WINDOW].astype(np.float32), len(usual) + start, UNUSUAL_P
        )
        for start in range(0, len(sound) - WINDOW + 1, WINDOW)
    ]


def disturbed(kind: str, seconds: int, seed: int) -> np.ndarray:
    sound = machine(seconds)
    added = DISTURBANCES[kind](len(sound), RATE_HZ, np.random.default_rng(seed))
    return np.asarray(sound + added * np.std(sound) / np.std(added))


@pytest.mark.parametrize("seed", range(3))
def test_speech_is_recognised(seed: int) -> None:
    assert kinds(disturbed("speech", 20, seed)).count(PassingSound.SPEECH) >= 8


def test_a_vehicle_is_recognised_while_it_comes_and_goes() -> None:
    found = kinds(disturbed("vehicle", 30, 0))
    assert PassingSound.VEHICLE in found[:7]
    assert PassingSound.VEHICLE in found[8:]
    assert set(found) <= {PassingSound.VEHICLE, None}


def test_a_single_impact_is_recognised() -> None:
    sound = machine(6)
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    blow = np.exp(-time_s / 0.03) * np.sin(2 * np.pi * 900 * time_s)
    sound[3 * RATE_HZ : 3 * RATE_HZ + blow.size] += 0.5 * blow
    assert kinds(sound) == [None, PassingSound.IMPACT, None]


@pytest.mark.parametrize("kind", sorted(FAULTS))
@pytest.mark.parametrize("shaft_hz", [4.0, 15.0, 28.0])
def test_no_fault_is_taken_for_speech_or_a_vehicle(kind: str, shaft_hz: float) -> None:
    rng = np.random.default_rng(5)
    context = FaultContext(machine(20), RATE_HZ, shaft_hz, 0.0, rng)
    found = kinds(add_fault(kind, context).sound)
    assert not {PassingSound.SPEECH, PassingSound.VEHICLE} & set(found)


@pytest.mark.parametrize("rate_hz", [2.0, 3.7, 6.0])
def test_a_machine_that_is_modulated_at_the_rate_of_syllables_is_not_speech(rate_hz: float) -> None:
    sound, rng = machine(20), np.random.default_rng(3)
    gate = np.sin(np.pi * rate_hz * np.arange(len(sound)) / RATE_HZ) ** 4
    tones = sum(np.sin(2 * np.pi * 183.0 * n * np.arange(len(sound)) / RATE_HZ) for n in (1, 2, 3))
    noise = np.convolve(rng.standard_normal(len(sound)), np.ones(8), "same")
    for added in (tones, noise):
        loud = 3 * gate * added * np.std(sound) / np.std(added)
        assert PassingSound.SPEECH not in kinds(sound + loud)


def test_nothing_is_classified_before_usual_sound_is_known() -> None:
    classifier = PassingSoundClassifier(WINDOW, RATE_HZ)
    speech = disturbed("speech", 2, 0).astype(np.float32)
    assert classifier.classify(speech, 0, UNUSUAL_P) is None
    assert classifier.classify(speech, 0, None) is None


def test_digital_silence_as_usual_sound_is_no_error() -> None:
    classifier = PassingSoundClassifier(WINDOW, RATE_HZ)
    classifier.classify(np.zeros(WINDOW, np.float32), 0, NORMAL_P)
    speech = disturbed("speech", 2, 0).astype(np.float32)
    assert classifier.classify(speech, WINDOW, UNUSUAL_P) is None
