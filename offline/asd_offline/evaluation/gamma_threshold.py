"""The threshold of the official baselines: a quantile of a gamma distribution of normal scores."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MAX_RELATIVE_ERROR = 0.5
"""A fit that flags a share of its scores further than this from the requested one is refused."""
SLACK_SCORES = 1.5
"""That many scores more or fewer are no sign of a bad fit."""

Method = Literal["gamma", "standardised", "quantile"]


@dataclass(frozen=True, slots=True)
class GammaThreshold:
    """A threshold, and how it was found."""

    value: float
    method: Method
    """``gamma``: fitted to the scores, as the baselines do. ``standardised``: fitted after scaling
    them to mean 0 and standard deviation 1. ``quantile``: the quantile of the scores themselves."""
    flagged: float
    """Share of the scores above the threshold."""
    gamma_flagged: float
    """Share that the baselines' fit would flag."""


def gamma_threshold(normal_scores: ArrayLike, quantile: float = 0.9) -> GammaThreshold:
    """Compute the threshold of the official baselines from the scores of normal clips.

    It is a quantile of a gamma distribution, whose shape, location and scale are fitted, so that
    scores may be negative. The optimiser of that fit stops early for scores of a small or large
    scale, and may miss skewed ones: if the share of the scores above the threshold is far from
    ``1 - quantile``, standardised scores are fitted, and if that fails too, the quantile of the
    scores is used. Requires scipy.

    Parameters
    ----------
    normal_scores
        Shape ``(clips,)``: scores of normal (training) clips, finite and not all equal.
    quantile
        In (0, 1); the baselines since 2021 use 0.9, hence about 10 % false alarms.
    """
    score = np.asarray(normal_scores, dtype=np.float64)
    if score.ndim != 1 or not np.isfinite(score).all() or len(np.unique(score)) < 2:
        msg = f"a gamma fit needs finite scores of at least two different values, got {score!r}"
        raise ValueError(msg)
    if not 0.0 < quantile < 1.0:
        msg = f"quantile must lie between 0 and 1, got {quantile}"
        raise ValueError(msg)
    mean, std = float(score.mean()), float(score.std())
    value = _fit(score, quantile)
    gamma_flagged = flagged = _flagged(score, value)
    method: Method = "gamma"
    if not _is_close(flagged, quantile, len(score)) and std > 0.0:  # squares of tiny ones vanish
        method, value = "standardised", mean + std * _fit((score - mean) / std, quantile)
        flagged = _flagged(score, value)
    if not _is_close(flagged, quantile, len(score)):
        method, value = "quantile", float(np.quantile(score, quantile))
        flagged = _flagged(score, value)
    return GammaThreshold(value, method, flagged, gamma_flagged)


def _fit(score: Floats, quantile: float) -> float:
    """Return the quantile of a fitted gamma distribution; NaN if there is no fit."""
    from scipy.stats import FitError, gamma

    with warnings.catch_warnings():  # the optimiser temporarily leaves the valid parameters
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            shape, loc, scale = gamma.fit(score)
        except FitError:
            return float("nan")
        return float(gamma.ppf(quantile, a=shape, loc=loc, scale=scale))


def _flagged(score: Floats, threshold: float) -> float:
    return float(np.mean(score > threshold)) if np.isfinite(threshold) else float("nan")


def _is_close(flagged: float, quantile: float, count: int) -> bool:
    requested = 1.0 - quantile
    return abs(flagged - requested) <= MAX_RELATIVE_ERROR * requested + SLACK_SCORES / count
