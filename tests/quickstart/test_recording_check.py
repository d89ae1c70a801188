"""The sound that a model is learned from is checked, with numbers and advice."""

import re

import numpy as np
import pytest

from asd_monitor import quickstart
from asd_monitor.quickstart import Recording
from asd_monitor.quickstart.recording_check import check_recordings, findings_of
from asd_monitor.records import FloatArray

RATE_HZ = 16_000
CLIP = 10 * RATE_HZ
AT = np.arange(CLIP) / RATE_HZ


def noise(seed: int, level: float = 0.05) -> FloatArray:
    return np.random.default_rng(seed).normal(0, level, CLIP).astype(np.float32)


def hum(level: float) -> FloatArray:
    tones = np.sin(2 * np.pi * 50 * AT) + 0.5 * np.sin(2 * np.pi * 150 * AT)
    return (level * tones).astype(np.float32)


def overdriven(seed: int) -> FloatArray:
    sound = noise(seed)
    sound[: CLIP // 50] = 1.0
    return sound


def check(*sounds: FloatArray, sessions: str = "") -> list[str]:
    recordings = [
        Recording(f"{i}.wav", sound, session=sessions, start_s=10.0 * i)
        for i, sound in enumerate(sounds)
    ]
    return check_recordings(recordings, RATE_HZ)


def test_ordinary_sound_has_no_finding() -> None:
    assert check(noise(0), noise(1), noise(2)) == []


@pytest.mark.parametrize(
    ("sounds", "words"),
    [
        ([overdriven(0), noise(1)], r"^1 % of the sound was overdriven .*reduce the gain"),
        ([noise(0, 1e-4), noise(1, 1e-4)], r"^very quiet, -80 dBFS on average: increase the gain"),
        ([noise(0, 1e-2) + hum(0.1)] * 2, r"^50 Hz hum 27 dB above the rest .* below 1 kHz"),
    ],
)
def test_each_problem_is_found_with_its_size_and_what_to_do(
    sounds: list[FloatArray], words: str
) -> None:
    (finding,) = check(*sounds)
    assert re.search(words, finding)


def test_recordings_of_one_short_run_know_no_variation() -> None:
    (finding,) = check(noise(0), noise(1), noise(2), sessions="2026-01-01T00:00:00Z")
    assert finding.startswith("all recordings are from within 0.5 min: loads, temperatures")


def test_recordings_of_a_run_of_over_an_hour_vary() -> None:
    recordings = [
        Recording(str(i), noise(i), session="today", start_s=start_s)
        for i, start_s in enumerate((0.0, 3600.0))
    ]
    assert check_recordings(recordings, RATE_HZ) == []


def test_the_findings_are_kept_in_the_model_file() -> None:
    recordings = [Recording(str(i), noise(i) + hum(0.5)) for i in range(3)]
    fitted = quickstart.fit(recordings, target="pump", sample_rate_hz=RATE_HZ, window_s=2)
    (finding,) = findings_of(fitted.manifest)
    assert finding.startswith("50 Hz hum")
