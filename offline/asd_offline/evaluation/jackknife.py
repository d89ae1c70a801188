"""Jackknife estimates of how much a score varies with the choice of test clips.

The organisers' scripts since 2022 print "official score ci95". They pool the clips of all machines,
leave out one at a time, and use the leave-one-out estimates where the formula requires
pseudo-values. Their value is therefore too small by a factor of ``clips - 1``, and it is that of a
pooled AUC instead of the official score. `official_ci95` reproduces it; `jackknife_half_width` is
the interval that this package reports.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_offline.evaluation.metrics import (
    MAX_FPR,
    Floats,
    anomaly_areas,
    check_labelled_scores,
    count_normals_above,
    standardise,
)

MIN_HALF_WIDTH = 1e-9
"""A smaller one is a rounding error."""
NORMAL_QUANTILE = 1.959963984540054  # 97.5 % of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Leverage:
    """The official score without each clip of one section.

    ``scores`` has shape ``(clips,)``; ``strata`` of the same shape numbers the groups (of one
    domain and label) whose sizes the test set fixes.
    """

    scores: Floats
    strata: NDArray[np.int64]


def leave_one_out(labels: ArrayLike, scores: ArrayLike, max_fpr: float = 1.0) -> Floats:
    """Compute standardised areas under the ROC curve in [0, ``max_fpr``], each without one clip.

    Without a normal clip, the number of normals above an anomaly decreases by one for the anomalies
    below that clip. Three cumulative sums over the sorted anomalies therefore give all areas in
    O(n log n).

    Parameters
    ----------
    labels, scores
        Shape ``(clips,)`` as in `asd_offline.evaluation.metrics.auc`.

    Returns
    -------
    areas
        Shape ``(clips,)``; NaN where the clip is the only one of its class.
    """
    label, score = check_labelled_scores(labels, scores)
    normal, anomalous = np.sort(score[label == 0]), np.sort(score[label == 1])
    normals, anomalies = len(normal), len(anomalous)
    above, at_or_above = count_normals_above(normal, anomalous)
    areas = np.full(len(score), np.nan)
    single = anomaly_areas(above, at_or_above, normals, max_fpr)
    if anomalies > 1:
        indices = np.searchsorted(anomalous, score[label == 1], side="left")
        areas[label == 1] = (single.sum() - single[indices]) / (anomalies - 1)
    if normals > 1:
        # Cumulative sums if the left-out normal is above, tied with or below the anomalies.
        below = _cumulative(
            np.maximum(above - 1, 0), np.maximum(at_or_above - 1, 0), normals, max_fpr
        )
        tied = _cumulative(above, np.maximum(at_or_above - 1, above), normals, max_fpr)
        higher = _cumulative(above, at_or_above, normals, max_fpr)
        first = np.searchsorted(anomalous, score[label == 0], side="left")
        last = np.searchsorted(anomalous, score[label == 0], side="right")
        total = below[first] + (tied[last] - tied[first]) + (higher[-1] - higher[last])
        areas[label == 0] = total / anomalies
    return np.asarray(standardise(areas, max_fpr))


def _cumulative(above: Floats, at_or_above: Floats, normals: int, max_fpr: float) -> Floats:
    """Compute cumulative sums, from 0, of the anomalies' areas with one normal clip less."""
    return np.append(0.0, np.cumsum(anomaly_areas(above, at_or_above, normals - 1, max_fpr)))


def jackknife_half_width(sections: Sequence[Leverage]) -> float | None:
    """Compute the half width of the 95 % interval of an official score over its test clips.

    The jackknife is stratified: the variance is the sum over strata of ``(n - 1) / n`` times the
    squared deviations of the leave-one-out scores from the stratum's mean. None if a stratum has a
    single clip, there are no sections, or no clip changes the score: where all clips are ranked
    correctly, as at AUC 1, the jackknife sees no spread, which is not certainty.
    """
    variance = 0.0
    for section in sections:
        for stratum in np.unique(section.strata):
            scores = section.scores[section.strata == stratum]
            if len(scores) < 2 or not np.isfinite(scores).all():
                return None
            variance += (
                (len(scores) - 1) / len(scores) * float(np.sum((scores - scores.mean()) ** 2))
            )
    half_width = NORMAL_QUANTILE * math.sqrt(variance)
    return half_width if half_width > MIN_HALF_WIDTH else None


def official_ci95(
    labels: ArrayLike, scores: ArrayLike, pauc_max_fpr: float = MAX_FPR
) -> float | None:
    """Compute what the organisers print as "official score ci95", from clips of all machines.

    It is the mean of two half widths, of the pooled AUC and of the pooled pAUC; each is Student's
    97.5 % quantile times ``sqrt(sum((theta_i - mean)**2) / (n * (n - 1)))``. None with fewer than
    two clips of a class.
    """
    widths = []
    for max_fpr in (1.0, pauc_max_fpr):
        thetas = leave_one_out(labels, scores, max_fpr)
        if not np.isfinite(thetas).all():
            return None
        clips = len(thetas)
        sigma = math.sqrt(float(np.sum((thetas - thetas.mean()) ** 2)) / (clips * (clips - 1)))
        widths.append(student_quantile(clips - 1) * sigma)
    return sum(widths) / len(widths)


def student_quantile(degrees: int) -> float:
    """Compute the 97.5 % quantile of Student's t distribution, without scipy.

    By bisection on ``t = sqrt(degrees) tan(angle)``: as a function of the angle the density is
    ``cos(angle)**(degrees - 1)``, smooth enough for Gauss-Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    half = (
        math.exp(math.lgamma(degrees / 2) - math.lgamma((degrees + 1) / 2)) * math.sqrt(math.pi) / 2
    )
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        inside = middle / 2 * float(weights @ np.cos(middle / 2 * (nodes + 1)) ** (degrees - 1))
        low, high = (middle, high) if inside < 0.95 * half else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)
