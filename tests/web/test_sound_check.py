"""Warnings about microphones on the set-up page."""

import re

import numpy as np
import pytest

from asd_monitor.audio.hum import find_hum
from asd_monitor.records import FloatArray
from asd_monitor.web.sound_check import find_warnings, suspects_gain_control

RATE_HZ = 16_000
AT = np.arange(3 * RATE_HZ) / RATE_HZ
NOISE = np.random.default_rng(2).normal(0, 0.02, len(AT)).astype(np.float32)


def sine(hz: float, amplitude: float) -> FloatArray:
    return (amplitude * np.sin(2 * np.pi * hz * AT)).astype(np.float32)


def test_ordinary_sound_has_no_warning() -> None:
    assert find_warnings(NOISE + sine(250, 0.1), RATE_HZ) == []


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(len(AT), np.float32), "Digital silence"),
        (np.clip(20 * NOISE + sine(200, 3.0), -1, 1), "clips"),
        (NOISE + np.float32(0.05), "Constant offset of 5 %"),
        (NOISE + np.float32(0.4), "constant offset dominates"),
        (NOISE / 200, "Very quiet"),
        (NOISE / 20 + sine(50, 0.1) + sine(150, 0.05), r"mains frequency \(50 Hz\)"),
        (NOISE / 20 + sine(60, 0.1), r"mains frequency \(60 Hz\)"),
    ],
)
def test_each_fault_has_its_warning(samples: FloatArray, words: str) -> None:
    assert any(re.search(words, warning) for warning in find_warnings(samples, RATE_HZ))


def test_a_motor_at_twice_the_mains_frequency_is_no_hum_of_a_cable() -> None:
    assert find_hum(NOISE / np.float32(20) + sine(100, 0.1), RATE_HZ) is None


def levels(gain_db: FloatArray) -> FloatArray:
    background = -50 + np.random.default_rng(3).normal(0, 1, len(gain_db)) + gain_db
    background[40:42] = -20.0  # a tap
    return background.astype(np.float32)


def test_a_background_that_falls_after_a_tap_and_rises_again_suggests_gain_control() -> None:
    gain_db = np.zeros(120, np.float32)
    gain_db[42:] = -15 * np.exp(-np.arange(78) / 20)
    assert suspects_gain_control(levels(gain_db), 0.1)


def test_a_tap_alone_suggests_no_gain_control() -> None:
    assert not suspects_gain_control(levels(np.zeros(120, np.float32)), 0.1)
