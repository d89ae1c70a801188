"""Voices are described in words that a maintenance engineer understands."""

import pytest

from asd_monitor.detection.voice_words import describe_change, describe_voice


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("floor in 812 to 934 Hz, higher", "more constant noise from 810 Hz to 930 Hz"),
        ("spread in 1180 to 2047 Hz, lower", "lack of fluctuation from 1.2 kHz to 2 kHz"),
        ("floor in bands", "constant noise"),
        ("peaks", "knocks"),
        ("voice 3", "voice 3"),
    ],
)
def test_what_is_unusual_names_the_frequencies_where_they_are_known(name: str, words: str) -> None:
    assert describe_change(name) == words


def test_drift_of_a_band_counts_for_its_group() -> None:
    assert describe_voice("floor in 812 to 934 Hz, higher") == "constant noise"
