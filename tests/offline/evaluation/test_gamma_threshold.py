"""The threshold of the baselines flags about the requested share, whatever the scores' scale."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import gamma

from asd_offline.evaluation.gamma_threshold import gamma_threshold

ORDINARY = np.random.default_rng(1).gamma(3.0, 2.0, size=400)


@pytest.mark.parametrize("offset", [0.0, -5.0, 10.0])  # negative ones too
def test_ordinary_scores_have_the_threshold_of_the_baselines(offset: float) -> None:
    scores = ORDINARY + offset
    shape, loc, scale = gamma.fit(scores)
    threshold = gamma_threshold(scores)
    expected = gamma.ppf(0.9, a=shape, loc=loc, scale=scale)
    assert (threshold.value, threshold.method) == (expected, "gamma")
    assert threshold.flagged == threshold.gamma_flagged == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("scale", [1e-3, 1e-4, 1e-6, 1e3, 1e6])
def test_the_scale_of_scores_does_not_matter(scale: float) -> None:
    scores = 0.02 + scale * ORDINARY
    threshold = gamma_threshold(scores)
    assert np.mean(scores > threshold.value) == pytest.approx(0.1, abs=0.05)
    assert threshold.flagged == np.mean(scores > threshold.value)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_skewed_scores_are_flagged_as_requested(sigma: float, seed: int) -> None:
    scores = np.random.default_rng(seed).lognormal(0.0, sigma, 400)
    threshold = gamma_threshold(scores)
    assert np.mean(scores > threshold.value) == pytest.approx(0.1, abs=0.06)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=50).filter(lambda x: len(set(x)) > 1))
@example([0.0, 5e-324])
@example([0.0] * 12 + [1e-200, 3e-200])
def test_any_scores_have_a_finite_threshold(scores: list[float]) -> None:
    assert np.isfinite(gamma_threshold(scores).value)


@pytest.mark.parametrize("scores", [[], [1.0, 1.0], [1.0, float("nan")]])
def test_scores_that_no_distribution_fits_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="gamma"):
        gamma_threshold(scores)


def test_a_quantile_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="quantile"):
        gamma_threshold([1.0, 2.0, 3.0], quantile=90)
