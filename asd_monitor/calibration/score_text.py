"""Scores and p-values as text for the user; JSON keeps the numbers."""

import math

MIN_DISPLAYED_P = 0.001
"""Smaller p-values are displayed as a bound: few recordings support more precision."""


def format_score(value: float | None) -> str:
    """Return a score with about three significant digits; ``-`` for None.

    Exponents are used only above a million and below 0.0001.
    """
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-4:
        return f"{value:.2e}"
    decimals = 2 if size >= 1 or size == 0 else 2 - math.floor(math.log10(size))
    return f"{value:.{0 if size >= 1000 else 1 if size >= 100 else decimals}f}"


def format_p_value(p_value: float | None) -> str:
    """Return a p-value for a table: ``0.059``, ``<0.001``, or ``-`` for None."""
    if p_value is None:
        return "-"
    return f"<{MIN_DISPLAYED_P:g}" if p_value < MIN_DISPLAYED_P else f"{p_value:.2g}"


def describe_p_value(p_value: float | None, extrapolated: bool) -> str:
    """Return a p-value for a line of text: ``p < 0.001 (beyond what was learned)``.

    Parameters
    ----------
    p_value
        In (0, 1]; None where there is none.
    extrapolated
        Whether the score is beyond all calibration scores.
    """
    if p_value is None:
        return "no p-value"
    text = f"p = {p_value:.2g}" if p_value >= MIN_DISPLAYED_P else f"p < {MIN_DISPLAYED_P:g}"
    return f"{text} (beyond what was learned)" if extrapolated else text
