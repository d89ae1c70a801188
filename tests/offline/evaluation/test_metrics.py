"""Metrics equal those of scikit-learn and scipy and have the properties of areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hmean
from sklearn import metrics as sklearn_metrics

from asd_offline.evaluation import metrics
from asd_offline.evaluation.metrics import Confusion

# few distinct scores, so that ties within and across the classes are common
_SCORES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Draw labels of both classes and a score for each."""
    labels = draw(st.permutations([0, 1, *draw(st.lists(st.integers(0, 1), max_size=40))]))
    return labels, draw(st.lists(_SCORES, min_size=len(labels), max_size=len(labels)))


@settings(deadline=None)
@given(labelled())
def test_auc_equals_scikit_learn(data: tuple[list[int], list[float]]) -> None:
    assert metrics.auc(*data) == pytest.approx(sklearn_metrics.roc_auc_score(*data), abs=1e-12)


@settings(deadline=None)
@given(labelled(), st.sampled_from([0.1, 0.05, 0.5, 0.999]))
def test_pauc_equals_scikit_learn(data: tuple[list[int], list[float]], max_fpr: float) -> None:
    expected = sklearn_metrics.roc_auc_score(*data, max_fpr=max_fpr)
    assert metrics.pauc(*data, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(labelled())
def test_pauc_up_to_one_is_the_auc(data: tuple[list[int], list[float]]) -> None:
    assert metrics.pauc(*data, max_fpr=1.0) == pytest.approx(metrics.auc(*data), abs=1e-12)


@settings(deadline=None)
@given(labelled())
def test_areas_do_not_change_with_an_increasing_map_of_the_scores(
    data: tuple[list[int], list[float]],
) -> None:
    labels, scores = data
    ranks = np.unique(scores, return_inverse=True)[1]
    assert metrics.auc(labels, ranks) == metrics.auc(labels, scores)
    assert metrics.pauc(labels, np.exp(ranks / 10.0)) == metrics.pauc(labels, scores)


@settings(deadline=None)
@given(labelled())
def test_negated_scores_mirror_the_auc(data: tuple[list[int], list[float]]) -> None:
    labels, scores = data
    mirrored = metrics.auc(labels, [-score for score in scores])
    assert mirrored == pytest.approx(1.0 - metrics.auc(labels, scores), abs=1e-12)


@settings(deadline=None)
@given(labelled())
def test_areas_stay_within_their_bounds(data: tuple[list[int], list[float]]) -> None:
    assert 0.0 <= metrics.auc(*data) <= 1.0
    assert 0.4736 < metrics.pauc(*data) <= 1.0


def test_constant_scores_are_chance() -> None:
    labels, scores = [0, 1, 0, 1, 1], [2.0] * 5
    assert metrics.auc(labels, scores) == 0.5
    assert metrics.pauc(labels, scores) == pytest.approx(0.5, abs=1e-15)


def test_separated_scores_give_the_maximum_and_reversed_ones_the_minimum() -> None:
    labels = [0] * 30 + [1] * 10
    scores = list(range(40))
    for metric in (metrics.auc, metrics.pauc):
        assert metric(labels, scores) == pytest.approx(1.0, abs=1e-15)
    assert metrics.auc(labels, scores[::-1]) == 0.0
    assert metrics.pauc(labels, scores[::-1]) == pytest.approx(0.5 * (1 - 0.005 / 0.095))


@settings(deadline=None)
@given(labelled())
def test_roc_curve_equals_scikit_learn(data: tuple[list[int], list[float]]) -> None:
    curve = metrics.roc_curve(*data)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(*data, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.true_positive_rate, tpr, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1.0, 2.0], "2 normal and 0 anomalous"),
        ([1, 1, 1], [1.0, 2.0, 3.0], "0 normal and 3 anomalous"),
        ([], [], "0 normal and 0 anomalous"),
        ([0, 1], [1.0, float("nan")], "nan at index 1"),
        ([0, 1], [float("inf"), 1.0], "inf at index 0"),
        ([0, 1], [1.0], "one length"),
        ([0, 2], [1.0, 2.0], "0 or 1"),
    ],
)
def test_scores_without_a_roc_curve_are_refused_with_the_reason(
    labels: list[int], scores: list[float], message: str
) -> None:
    for function in (metrics.auc, metrics.pauc, metrics.roc_curve):
        with pytest.raises(ValueError, match=message):
            function(labels, scores)


@pytest.mark.parametrize("max_fpr", [0.0, -0.1, 1.1])
def test_max_fpr_outside_its_range_is_refused(max_fpr: float) -> None:
    with pytest.raises(ValueError, match="max_fpr"):
        metrics.pauc([0, 1], [0.0, 1.0], max_fpr)


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30))
def test_means_equal_scipy_and_keep_their_order(values: list[float]) -> None:
    assert metrics.harmonic_mean(values) == pytest.approx(float(hmean(values)), rel=1e-12)
    assert metrics.arithmetic_mean(values) == pytest.approx(sum(values) / len(values), rel=1e-12)
    assert metrics.harmonic_mean(values) <= metrics.arithmetic_mean(values) * (1 + 1e-12)


def test_harmonic_mean_of_a_zero_is_that_of_the_organisers() -> None:
    assert metrics.harmonic_mean([0.0] + [1.0] * 6) == pytest.approx(1.5543122344752184e-15)


def test_means_of_no_values_are_refused() -> None:
    for mean in (metrics.arithmetic_mean, metrics.harmonic_mean):
        with pytest.raises(ValueError, match="no values"):
            mean([])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1))
def test_precision_recall_f1_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, decisions = [p[0] for p in pairs], [p[1] for p in pairs]
    expected = sklearn_metrics.precision_recall_fscore_support(
        labels, decisions, average="binary", zero_division=0.0
    )[:3]
    actual = metrics.precision_recall_f1(metrics.confusion(labels, decisions))
    assert actual == pytest.approx(expected, abs=1e-12)


def test_confusion_counts_each_kind() -> None:
    counts = metrics.confusion([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 1])
    assert counts == Confusion(2, 1, 1, 3)


@pytest.mark.parametrize(
    ("labels", "decisions"), [([0, 1], [0, 2]), ([0], [0, 1]), ([0, 3], [0, 1])]
)
def test_decisions_other_than_zero_and_one_are_refused(
    labels: list[int], decisions: list[int]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        metrics.confusion(labels, decisions)
