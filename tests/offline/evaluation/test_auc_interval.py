"""Confidence intervals of an AUC that have a width at 0 and 1."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_offline.evaluation.auc_interval import auc_interval, mean_interval


@given(auc=st.floats(0, 1), normals=st.integers(1, 500), anomalies=st.integers(1, 500))
def test_the_limits_are_where_the_auc_is_two_standard_errors_away(
    auc: float, normals: int, anomalies: int
) -> None:
    low, high = auc_interval(auc, normals, anomalies)
    assert 0 <= low <= auc <= high <= 1
    n = (normals + anomalies) / 2 - 1
    for limit in (low, high):
        variance = limit * (1 - limit) / (normals * anomalies)
        variance *= 1 + n * (1 - limit) / (2 - limit) + n * limit / (1 + limit)
        distance = abs(limit - auc)
        expected = 1.959963984540054 * math.sqrt(variance)
        assert limit in (0.0, 1.0) or distance == pytest.approx(expected, abs=1e-6)


def test_clips_that_are_all_ranked_correctly_leave_doubt_which_more_clips_reduce() -> None:
    lows = [auc_interval(1.0, clips, clips)[0] for clips in (10, 100, 1000)]
    assert lows[0] < 0.85
    assert lows == sorted(lows)
    assert lows[2] < 1
    low, high = auc_interval(0.2, 30, 40)
    assert (1 - high, 1 - low) == pytest.approx(auc_interval(0.8, 30, 40))


@pytest.mark.parametrize("shift", [0.5, 1.5, 3.0])
def test_about_95_percent_of_intervals_contain_the_true_area(shift: float) -> None:
    random = np.random.default_rng(0)
    true = 0.5 * (1 + math.erf(shift / 2))
    inside = 0
    for _ in range(400):
        normal, anomalous = random.normal(0, 1, 40), random.normal(shift, 1, 40)
        auc = float(np.mean(anomalous[:, None] > normal))
        low, high = auc_interval(auc, 40, 40)
        inside += low <= true <= high
    assert 0.91 <= inside / 400 <= 1.0


def test_the_interval_of_a_mean_is_narrower_than_those_of_its_values() -> None:
    intervals = [auc_interval(0.9, 50, 50)] * 4
    low, high = mean_interval([0.9] * 4, intervals)
    assert 0.9 - low == pytest.approx((0.9 - intervals[0][0]) / 2)
    assert high - 0.9 == pytest.approx((intervals[0][1] - 0.9) / 2)
    assert mean_interval([1.0], [auc_interval(1.0, 9, 9)]) == pytest.approx(auc_interval(1.0, 9, 9))


@pytest.mark.parametrize(("auc", "normals", "anomalies"), [(1.1, 5, 5), (0.5, 0, 5), (0.5, 5, 0)])
def test_what_is_no_area_is_refused(auc: float, normals: int, anomalies: int) -> None:
    with pytest.raises(ValueError, match="expected an AUC of 0 to 1"):
        auc_interval(auc, normals, anomalies)
