"""Confidence intervals of an AUC that do not vanish at 0 or 1."""

import math
from collections.abc import Callable, Sequence

from asd_offline.evaluation.jackknife import NORMAL_QUANTILE

BISECTIONS = 60

Interval = tuple[float, float]
"""Lower and upper limit."""


def auc_interval(auc: float, normals: int, anomalies: int) -> Interval:
    """Compute the 95 % interval of an AUC over the choice of test clips.

    The limits are the areas ``t`` for which ``|t - auc|`` is 1.96 standard errors *at t*, as in
    Wilson's interval of a proportion. With ``n = (normals + anomalies) / 2 - 1`` the squared
    standard error is ``t (1 - t) (1 + n (1 - t) / (2 - t) + n t / (1 + t)) / (normals anomalies)``
    (Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic", part 2, Statistics in Medicine 25, 2006, method 5; the variance is that of Hanley
    and McNeil, Radiology 143, 1982, for exponential scores). At an AUC of 1 the lower limit is
    below 1, whereas the intervals of DeLong and of the jackknife have no width.

    Parameters
    ----------
    auc
        Area under the ROC curve, 0 to 1.
    normals, anomalies
        Number of clips of each class, at least 1.

    Returns
    -------
    Interval
        Limits within [0, 1].
    """
    if not 0 <= auc <= 1 or normals < 1 or anomalies < 1:
        msg = f"expected an AUC of 0 to 1 and clips of both classes: {auc}, {normals}, {anomalies}"
        raise ValueError(msg)
    mean_size = (normals + anomalies) / 2 - 1

    def is_inside(area: float) -> bool:
        variance = area * (1 - area) / (normals * anomalies)
        variance *= 1 + mean_size * (1 - area) / (2 - area) + mean_size * area / (1 + area)
        return abs(area - auc) <= NORMAL_QUANTILE * math.sqrt(variance)

    return _bisect(is_inside, auc, 0.0), _bisect(is_inside, auc, 1.0)


def mean_interval(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Compute the interval of the arithmetic mean of independent values from their intervals.

    The distances of the limits are added as squares (variance estimates recovery: Zou and Donner,
    Statistics in Medicine 27, 2008, equation 3).
    """
    mean, count = math.fsum(values) / len(values), len(values)
    pairs = list(zip(values, intervals, strict=True))
    below = math.sqrt(sum((value - low) ** 2 for value, (low, _) in pairs)) / count
    above = math.sqrt(sum((high - value) ** 2 for value, (_, high) in pairs)) / count
    return max(0.0, mean - below), min(1.0, mean + above)


def _bisect(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return where the interval ends between a value inside and 0 or 1."""
    # At 0 and 1 the standard error is 0: only the AUC itself is inside there.
    low, high = inside, outside
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_inside(middle) else (low, middle)
    return low
