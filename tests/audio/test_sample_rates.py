"""Recordings at another sample rate than the learned ones are noted, equivalent ones are not."""

import pytest

from asd_monitor.audio.sample_rates import (
    describe_difference,
    describe_differences,
    describe_mixture,
    learned_rates_hz,
    training_entry,
)

MODEL_HZ = 16_000


@pytest.mark.parametrize(
    ("rate_hz", "learned_hz"), [(48_000, [16_000]), (16_000, [48_000]), (8_000, [16_000, 44_100])]
)
def test_a_rate_that_differs_from_the_learned_ones_is_noted(
    rate_hz: int, learned_hz: list[int]
) -> None:
    note = describe_difference(rate_hz, learned_hz, MODEL_HZ)
    assert note.startswith(f"recorded at {rate_hz} Hz, learned at ")
    assert "learn from sound of the same rate" in note


@pytest.mark.parametrize(
    ("rate_hz", "learned_hz"),
    [(16_000, [16_000]), (44_100, [48_000]), (16_000, [16_000, 48_000]), (16_000, []), (None, [1])],
)
def test_equivalent_and_unknown_rates_are_not_noted(
    rate_hz: int | None, learned_hz: list[int]
) -> None:
    assert describe_difference(rate_hz, learned_hz, MODEL_HZ) == ""


def test_recordings_that_differ_are_counted() -> None:
    (note,) = describe_differences([48_000, 16_000, 44_100], [16_000], MODEL_HZ, "test clips")
    assert note.startswith(
        "2 of 3 test clips were recorded at 44100 and 48000 Hz, the learned ones at 16000 Hz: "
    )
    assert describe_differences([16_000], [16_000], MODEL_HZ, "test clips") == []


def test_learning_from_rates_that_are_not_equivalent_is_noted() -> None:
    assert "16000 and 48000 Hz" in describe_mixture([16_000, 48_000], MODEL_HZ)
    assert describe_mixture([44_100, 48_000], MODEL_HZ) == describe_mixture([], MODEL_HZ) == ""


def test_the_rates_are_kept_in_the_manifest_where_they_are_known() -> None:
    assert learned_rates_hz(training_entry([48_000, None, 16_000, 48_000])) == [16_000, 48_000]
    assert training_entry([None]) == {}
    assert learned_rates_hz({"recorded_at_hz": "48000"}) == learned_rates_hz({}) == []
