"""The normal range ends at the highest median score of ten seconds of normal sound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.calibration.normal_range import NormalRange

WINDOW_S, PER_SEGMENT = 2.0, 5


def fit(levels: list[float]) -> NormalRange:
    """Fit to one session whose segments have these levels, each with an odd window."""
    scores = np.repeat(levels, PER_SEGMENT)
    scores[::PER_SEGMENT] += 1000.0
    start_s = WINDOW_S * np.arange(len(scores))
    return NormalRange.fit(scores, np.zeros(len(scores)), start_s, WINDOW_S)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=98))
def test_up_to_98_segments_it_ends_at_the_highest_level(levels: list[float]) -> None:
    fitted = fit(levels)
    assert (fitted.level, fitted.rank, fitted.segments) == (max(levels), 1, len(levels))
    assert 0 < fitted.effective_segments <= len(levels)


def test_of_many_segments_two_percent_are_at_or_above_it() -> None:
    fitted = fit([float(level) for level in range(500)])
    assert (fitted.rank, fitted.level) == (10, 490.0)


def test_a_single_odd_window_of_a_segment_does_not_move_it() -> None:
    assert fit([1.0, 2.0]).level == 2.0


def test_segments_that_resemble_their_neighbours_count_for_less() -> None:
    random = np.random.default_rng(0)
    drifting = np.cumsum(random.standard_normal(200)).tolist()
    assert (
        fit(drifting).effective_segments
        < 0.5 * fit(random.permutation(drifting).tolist()).effective_segments
    )


def test_a_range_survives_json() -> None:
    fitted = fit([0.5, 1.5, 1.0])
    assert NormalRange.from_dict(fitted.to_dict()) == fitted


@pytest.mark.parametrize(
    "change",
    [{"level": float("nan")}, {"rank": 0}, {"stretches": True}, {"independent": 4.0}],
)
def test_invalid_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        NormalRange.from_dict(fit([0.5, 1.5, 1.0]).to_dict() | change)
