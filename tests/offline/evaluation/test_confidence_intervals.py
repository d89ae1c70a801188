"""Leave-one-out areas equal brute force, and intervals match the spread of scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from asd_offline.datasets import CHALLENGES
from asd_offline.evaluation import metrics
from asd_offline.evaluation.challenge_score import evaluate_scores
from asd_offline.evaluation.jackknife import (
    Leverage,
    jackknife_half_width,
    leave_one_out,
    official_ci95,
    student_quantile,
)
from asd_offline.evaluation.rules import RULES
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.evaluation.table import score_lines


@settings(deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=12),
    st.lists(st.integers(-4, 4), min_size=2, max_size=12),
    st.sampled_from([0.1, 0.3, 1.0]),
)
def test_leave_one_out_equals_computing_each_area_separately(
    normal: list[int], anomalous: list[int], max_fpr: float
) -> None:
    labels = np.array([0] * len(normal) + [1] * len(anomalous))
    scores = np.array(normal + anomalous, dtype=float)
    expected = [
        metrics.pauc(np.delete(labels, i), np.delete(scores, i), max_fpr)
        for i in range(len(labels))
    ]
    np.testing.assert_allclose(leave_one_out(labels, scores, max_fpr), expected, atol=1e-12)


def test_leaving_out_the_only_clip_of_a_class_gives_nan() -> None:
    areas = leave_one_out([0, 0, 1], [0.0, 1.0, 2.0])
    assert np.isnan(areas).tolist() == [False, False, True]


@pytest.mark.parametrize("degrees", [1, 2, 5, 30, 1399, 4199])
def test_student_quantile_equals_scipy(degrees: int) -> None:
    assert student_quantile(degrees) == pytest.approx(t.ppf(0.975, degrees), rel=1e-9)


def test_half_width_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(size=50)
    left_out = (values.sum() - values) / 49
    expected = 1.959964 * values.std(ddof=1) / np.sqrt(50)
    half_width = jackknife_half_width([Leverage(left_out, np.zeros(50, dtype=np.int64))])
    assert half_width == pytest.approx(expected, rel=1e-6)


def test_a_stratum_of_one_clip_has_no_interval() -> None:
    assert jackknife_half_width([Leverage(np.array([0.5]), np.array([0]))]) is None
    assert jackknife_half_width([]) is None
    assert official_ci95([0, 0, 1], [0.0, 1.0, 2.0]) is None


def test_scores_that_rank_every_clip_correctly_have_no_interval() -> None:
    clips = SectionScores.from_columns([*range(10), *range(20, 40)], [0] * 10 + [1] * 20, [""] * 30)
    result = evaluate_scores(RULES[2020], {"fan": {"id_00": clips}})
    assert result.partial_score == 1.0
    assert result.ci95 is None
    assert result.to_dict()["ci95"] is None
    [line] = [line for line in score_lines(result) if line.startswith("partial score")]
    assert line == (
        "partial score 1.0000 (no interval: every clip is ranked correctly, so these clips show no "
        "spread)"
    )


@pytest.mark.parametrize("year", [2020, 2021, 2022])
def test_the_interval_matches_the_spread_of_scores_over_new_test_clips(year: int) -> None:
    """The standard deviation of scores over 150 draws of test clips matches the interval."""
    rng = np.random.default_rng(year)
    scores, widths = [], []
    for _ in range(150):
        result = evaluate_scores(RULES[year], _clips(rng, year))
        scores.append(result.partial_score)
        widths.append(result.ci95)
    spread = 1.96 * float(np.std(np.array(scores, dtype=float), ddof=1))
    # the standard error of a standard deviation from 150 draws is about 6 %
    assert np.mean(np.array(widths, dtype=float)) == pytest.approx(spread, rel=0.25)


def _clips(rng: np.random.Generator, year: int) -> dict[str, dict[str, SectionScores]]:
    challenge = CHALLENGES[year]
    groups = [(domain, label) for domain in challenge.domains or ("",) for label in (0, 1)]
    label = [label for _, label in groups for _ in range(40)]
    domain = [domain for domain, _ in groups for _ in range(40)]
    return {
        machine: {
            f"{challenge.section_word}_{number:02d}": SectionScores.from_columns(
                [float(rng.normal(value)) for value in label], label, domain
            )
            for number in (1, 3)
        }
        for machine in ("fan", "slider")
    }
