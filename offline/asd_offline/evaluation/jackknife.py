"""How far an official score may move with the choice of test clips: the jackknife.

The organisers' scripts of 2022 and 2023 print "official score ci95". They pool the clips of all
machines, leave one out at a time, and put the leave-one-out estimates where the formula wants
pseudo-values, so that their figure is ``clips - 1`` times too small, and it is that of a pooled
AUC instead of the official score. `official_ci95` repeats it; `jackknife_half_width` is ours.
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
    checked,
    standardise,
)

NORMAL_QUANTILE = 1.959963984540054  # 97.5 % of the standard normal law


@dataclass(frozen=True, slots=True)
class Leverage:
    """What the official score would be without each clip of one section.

    ``scores`` has shape ``(clips,)``; ``strata`` of the same shape numbers the groups (of one
    domain and label) whose sizes the test set fixes.
    """

    scores: Floats
    strata: NDArray[np.int64]


def leave_one_out(labels: ArrayLike, scores: ArrayLike, max_fpr: float = 1.0) -> Floats:
    """Standardised areas under the ROC curve in [0, ``max_fpr``], each without one clip.

    Parameters
    ----------
    labels, scores
        Shape ``(clips,)`` as in `asd_offline.evaluation.metrics.auc`.

    Returns
    -------
    areas
        Shape ``(clips,)``; NaN where the clip is the only one of its class. Without a normal clip
        the counts of normals above an anomaly fall by one for anomalies below that clip, so three
        running sums over the sorted anomalies give all areas in O(n log n).
    """
    label, score = checked(labels, scores)
    normal, anomalous = np.sort(score[label == 0]), np.sort(score[label == 1])
    normals, anomalies = len(normal), len(anomalous)
    above = (normals - np.searchsorted(normal, anomalous, side="right")).astype(np.float64)
    at_or_above = (normals - np.searchsorted(normal, anomalous, side="left")).astype(np.float64)
    areas = np.full(len(score), np.nan)
    own = anomaly_areas(above, at_or_above, normals, max_fpr)
    if anomalies > 1:
        places = np.searchsorted(anomalous, score[label == 1], side="left")
        areas[label == 1] = (own.sum() - own[places]) / (anomalies - 1)
    if normals > 1:
        below = _running(np.maximum(above - 1, 0), np.maximum(at_or_above - 1, 0), normals, max_fpr)
        tied = _running(above, np.maximum(at_or_above - 1, above), normals, max_fpr)
        higher = _running(above, at_or_above, normals, max_fpr)
        first = np.searchsorted(anomalous, score[label == 0], side="left")
        last = np.searchsorted(anomalous, score[label == 0], side="right")
        total = below[first] + (tied[last] - tied[first]) + (higher[-1] - higher[last])
        areas[label == 0] = total / anomalies
    return np.asarray(standardise(areas, max_fpr))


def jackknife_half_width(sections: Sequence[Leverage]) -> float | None:
    """Half width of the 95 % interval of an official score over the clips of all its sections.

    The stratified jackknife: the variance is the sum over strata of ``(n - 1) / n`` times the
    squared deviations of the leave-one-out scores from the stratum's mean. None where a stratum
    has a single clip, or there are no sections.
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
    return NORMAL_QUANTILE * math.sqrt(variance) if sections else None


def official_ci95(
    labels: ArrayLike, scores: ArrayLike, pauc_max_fpr: float = MAX_FPR
) -> float | None:
    """The figure that the organisers print as "official score ci95", from clips of all machines.

    The mean of two half widths, of the pooled AUC and the pooled pAUC; each is Student's 97.5 %
    quantile times ``sqrt(sum((theta_i - mean)**2) / (n * (n - 1)))``. None with fewer than two
    clips of a class.
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
    """97.5 % quantile of Student's law, by bisection on ``t = sqrt(degrees) tan(angle)``.

    In the angle the density is ``cos(angle)**(degrees - 1)``, smooth enough for Gauss-Legendre.
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


def _running(above: Floats, at_or_above: Floats, normals: int, max_fpr: float) -> Floats:
    """Running sums, from 0, of the anomalies' areas with one normal less."""
    return np.append(0.0, np.cumsum(anomaly_areas(above, at_or_above, normals - 1, max_fpr)))
