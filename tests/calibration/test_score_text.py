"""Scores and p-values are displayed without false precision."""

import pytest

from asd_monitor.calibration.score_text import describe_p_value, format_p_value, format_score


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0.00"), (1.36823, "1.37"), (-0.4881, "-0.488"), (0.00321, "0.00321"),
        (70.92, "70.92"), (123.456, "123.5"), (98765.4, "98765"), (3.1e-7, "3.10e-07"),
        (2e8, "2.00e+08"),
    ],
)  # fmt: skip
def test_a_score_keeps_about_three_significant_digits(value: float | None, text: str) -> None:
    assert format_score(value) == text


@pytest.mark.parametrize(
    ("p_value", "extrapolated", "text", "short"),
    [
        (3.1e-53, True, "p < 0.001 (beyond what was learned)", "<0.001"),
        (0.0152, True, "p = 0.015 (beyond what was learned)", "0.015"),
        (0.0005, False, "p < 0.001", "<0.001"),
        (0.059, False, "p = 0.059", "0.059"),
        (None, False, "no p-value", "-"),
    ],
)
def test_a_small_p_value_is_displayed_as_a_bound(
    p_value: float | None, extrapolated: bool, text: str, short: str
) -> None:
    assert describe_p_value(p_value, extrapolated) == text
    assert format_p_value(p_value) == short
