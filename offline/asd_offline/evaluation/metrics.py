"""The metrics of DCASE Task 2, in numpy: AUC, pAUC, means, precision, recall, F1.

Scores are anomaly scores: higher = more anomalous. Labels are 0 (normal) and 1 (anomaly).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MAX_FPR = 0.1
"""False-positive rate up to which every challenge has computed the pAUC."""
EPSILON = sys.float_info.epsilon
"""Lower bound of denominators and of values in harmonic means, as in the organisers' scripts."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Numbers of clips by decision and label; "positive" means decided anomalous."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Points of a ROC curve, from (0, 0) to (1, 1), all arrays of shape ``(points,)``.

    A clip is decided anomalous if its score >= ``thresholds``; the first threshold is infinite.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the ROC curve.

    It is the probability that an anomaly has a higher score than a normal clip; ties count half.

    Parameters
    ----------
    labels
        Shape ``(clips,)``, 0 or 1; both must occur.
    scores
        Shape ``(clips,)``, finite.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, a label is not 0 or 1, or a class is missing.
    """
    return _area(labels, scores, max_fpr=1.0)


def pauc(labels: ArrayLike, scores: ArrayLike, max_fpr: float = MAX_FPR) -> float:
    """Compute the partial AUC up to a false-positive rate, standardised after McClish.

    0.5 is chance, 1 is perfect. This is the pAUC of every official result since 2020, equal to
    scikit-learn's ``roc_auc_score(labels, scores, max_fpr=0.1)``. Parameters and errors are those
    of `auc`; ``max_fpr`` is in (0, 1].

    References
    ----------
    D. K. McClish, "Analyzing a portion of the ROC curve", Medical Decision Making, 1989.
    """
    return float(standardise(_area(labels, scores, max_fpr), max_fpr))


def standardise(area: float | Floats, max_fpr: float) -> float | Floats:
    """Map an area under the ROC curve in [0, ``max_fpr``]: chance to 0.5, the maximum to 1."""
    chance = 0.5 * max_fpr**2
    return 0.5 * (1.0 + (area - chance) / (max_fpr - chance))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Compute the points of the ROC curve: (0, 0), then one for each distinct score."""
    label, score = check_labelled_scores(labels, scores)
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # of each run of ties
    hits = np.cumsum(label)[last]
    return RocCurve(
        false_positive_rate=np.append(0.0, (last + 1 - hits) / np.sum(label == 0)),
        true_positive_rate=np.append(0.0, hits / np.sum(label == 1)),
        thresholds=np.append(np.inf, score[last]),
    )


def arithmetic_mean(values: Sequence[float]) -> float:
    """Compute the mean of at least one value."""
    if len(values) == 0:
        msg = "the mean of no values is not defined"
        raise ValueError(msg)
    return float(np.mean(np.asarray(values, dtype=np.float64)))


def harmonic_mean(values: Sequence[float]) -> float:
    """Compute the harmonic mean of at least one value, each raised to `EPSILON` first.

    As in the organisers' scripts, one value of zero therefore gives about 1e-15.
    """
    if len(values) == 0:
        msg = "the harmonic mean of no values is not defined"
        raise ValueError(msg)
    clamped = np.maximum(np.asarray(values, dtype=np.float64), EPSILON)
    return float(len(clamped) / np.sum(1.0 / clamped))


def confusion(labels: ArrayLike, decisions: ArrayLike) -> Confusion:
    """Count decisions (0 normal, 1 anomalous) against labels; both of shape ``(clips,)``."""
    label, decision = np.asarray(labels), np.asarray(decisions)
    if label.shape != decision.shape or label.ndim != 1:
        msg = (
            f"labels and decisions must be lists of one length, got {label.shape}, {decision.shape}"
        )
        raise ValueError(msg)
    for name, values in (("label", label), ("decision", decision)):
        if not np.isin(values, (0, 1)).all():
            msg = f"every {name} must be 0 or 1, got {values[~np.isin(values, (0, 1))][0]!r}"
            raise ValueError(msg)
    return Confusion(
        true_negatives=int(np.sum((label == 0) & (decision == 0))),
        false_positives=int(np.sum((label == 0) & (decision == 1))),
        false_negatives=int(np.sum((label == 1) & (decision == 0))),
        true_positives=int(np.sum((label == 1) & (decision == 1))),
    )


def precision_recall_f1(counts: Confusion) -> tuple[float, float, float]:
    """Compute precision, recall and F1; a ratio without any clips is 0."""
    hits = counts.true_positives
    precision = hits / max(hits + counts.false_positives, EPSILON)
    recall = hits / max(hits + counts.false_negatives, EPSILON)
    return precision, recall, 2.0 * precision * recall / max(precision + recall, EPSILON)


def check_labelled_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    """Return labels and scores as arrays that a ROC curve is defined for.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, a label is not 0 or 1, or a class is missing.
    """
    label, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if label.ndim != 1 or label.shape != score.shape:
        shapes = f"{label.shape} and {score.shape}"
        msg = f"labels and scores must be lists of one length, got shapes {shapes}"
        raise ValueError(msg)
    if not np.isfinite(score).all():
        first = int(np.flatnonzero(~np.isfinite(score))[0])
        msg = f"every score must be finite, got {score[first]} at index {first}"
        raise ValueError(msg)
    if not np.isin(label, (0, 1)).all():
        msg = f"every label must be 0 or 1, got {np.unique(label)[:5].tolist()}"
        raise ValueError(msg)
    anomalies = int(np.sum(label == 1))
    if anomalies in (0, len(label)):
        found = f"{len(label) - anomalies} normal and {anomalies} anomalous"
        msg = f"a ROC curve needs clips of both classes, got {found}"
        raise ValueError(msg)
    return label.astype(np.int64), score


def count_normals_above(normal: Floats, anomalous: Floats) -> tuple[Floats, Floats]:
    """Count, for each anomaly, the normals with a higher, and with an equal or higher, score.

    Parameters
    ----------
    normal
        Sorted scores of normal clips.
    anomalous
        Scores of anomalous clips, shape ``(anomalies,)``.
    """
    above = len(normal) - np.searchsorted(normal, anomalous, side="right")
    at_or_above = len(normal) - np.searchsorted(normal, anomalous, side="left")
    return above.astype(np.float64), at_or_above.astype(np.float64)


def anomaly_areas(above: Floats, at_or_above: Floats, normals: int, max_fpr: float) -> Floats:
    """Compute the area in [0, ``max_fpr``] under the ROC curve of each anomaly alone.

    That curve rises from 0 to 1 at the fraction of normals above the anomaly, linearly over those
    tied with it. The mean over anomalies is the area under the common curve, including its linear
    interpolation at ``max_fpr``.

    Parameters
    ----------
    above, at_or_above
        Numbers of normals with a higher, and with an equal or higher, score than each anomaly; see
        `count_normals_above`.

    Returns
    -------
    numpy.ndarray
        Shape ``(anomalies,)``.
    """
    start, end = above / normals, at_or_above / normals
    slant = np.where(end > start, end - start, 1.0)
    cut = np.maximum(max_fpr - start, 0.0) ** 2 / (2.0 * slant)
    return np.where(end <= max_fpr, max_fpr - (start + end) / 2.0, cut)


def _area(labels: ArrayLike, scores: ArrayLike, max_fpr: float) -> float:
    """Compute the area under the ROC curve for false-positive rates in [0, max_fpr]."""
    if not 0.0 < max_fpr <= 1.0:
        msg = f"max_fpr must lie in (0, 1], got {max_fpr}"
        raise ValueError(msg)
    label, score = check_labelled_scores(labels, scores)
    normal, anomalous = np.sort(score[label == 0]), score[label == 1]
    above, at_or_above = count_normals_above(normal, anomalous)
    area = float(np.mean(anomaly_areas(above, at_or_above, len(normal), max_fpr)))
    return min(area, max_fpr)  # a mean of equal floats may exceed them by one rounding
