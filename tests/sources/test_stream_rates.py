"""A microphone is opened at a rate that does not limit the model, where it offers one."""

import pytest

from asd_monitor.sources.microphone.stream import rates_to_try_hz


@pytest.mark.parametrize(
    ("default_hz", "needed_hz", "first_hz"),
    [
        (44_100, 16_000, 44_100),
        (44_100, 48_000, 48_000),
        (48_000, 48_000, 48_000),
        (44_100, 96_000, 96_000),
        (96_000, 48_000, 96_000),
    ],
)
def test_the_device_is_opened_at_its_own_rate_or_at_what_the_model_needs(
    default_hz: int, needed_hz: int, first_hz: int
) -> None:
    assert rates_to_try_hz(default_hz, needed_hz)[0] == first_hz


def test_a_device_without_the_needed_rate_is_opened_at_its_own() -> None:
    rates_hz = rates_to_try_hz(44_100, 48_000)
    lower_hz = [rate for rate in rates_hz if rate < 48_000]
    assert lower_hz[0] == 44_100
    assert {16_000, 8000} <= set(lower_hz)
