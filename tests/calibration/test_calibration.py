"""P-values and thresholds from held-out scores of normal sound."""

import json
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.blocks import count_effective_windows

Sampler = Callable[[np.random.Generator, int | tuple[int, int]], npt.NDArray[np.float64]]

some_scores = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 2.0])), min_size=2, max_size=300
)


def states(random: np.random.Generator, size: int | tuple[int, int]) -> npt.NDArray[np.float64]:
    """A machine with a second operating state, 15 % of the time."""
    second = random.random(size) < 0.15
    return np.where(second, random.normal(4, 1.5, size), random.normal(0, 1, size))


SAMPLERS: dict[str, Sampler] = {
    "normal": lambda random, size: random.standard_normal(size),
    "gamma": lambda random, size: random.gamma(2.0, 1.0, size),
    "lognormal": lambda random, size: random.lognormal(0.0, 0.5, size),
    "student t4": lambda random, size: random.standard_t(4, size),
    "two states": states,
}


@given(scores=some_scores, values=st.lists(st.floats(-1e7, 1e7), min_size=2))
def test_p_values_are_in_0_to_1_and_never_rise_with_the_score(
    scores: list[float], values: list[float]
) -> None:
    calibration = Calibration.fit(scores)
    p_values = [calibration.p_value(value)[0] for value in sorted([*values, *scores])]
    assert all(0 < p <= 1 for p in p_values)
    assert p_values == sorted(p_values, reverse=True)


@given(scores=some_scores, value=st.floats(-1e6, 1e6))
def test_p_values_are_conformal_up_to_the_largest_score(scores: list[float], value: float) -> None:
    p, extrapolated = Calibration.fit(scores).p_value(value)
    assert extrapolated == (value > max(scores))
    if not extrapolated:
        assert p == (1 + sum(score >= value for score in scores)) / (len(scores) + 1)


@given(scores=some_scores)
def test_the_tail_continues_the_conformal_p_values_without_a_step(scores: list[float]) -> None:
    calibration = Calibration.fit(scores)
    just_above = max(scores) + 1e-6 * calibration.tail_scale
    p, _ = calibration.p_value(just_above)
    assert p == pytest.approx(1 / (len(scores) + 1), rel=1e-3)


@given(scores=some_scores, p=st.floats(1e-9, 0.99))
def test_a_score_above_a_threshold_has_at_most_its_p_value(scores: list[float], p: float) -> None:
    calibration = Calibration.fit(scores)
    above = math.nextafter(calibration.threshold(p), math.inf)
    assert calibration.p_value(above)[0] <= p * (1 + 1e-6)


@given(scores=some_scores, ps=st.lists(st.floats(1e-9, 0.99), min_size=2))
def test_a_smaller_p_value_never_has_a_lower_threshold(
    scores: list[float], ps: list[float]
) -> None:
    calibration = Calibration.fit(scores)
    thresholds = [calibration.threshold(p) for p in sorted(ps)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_threshold_inverts_p_value_up_to_the_largest_score() -> None:
    calibration = Calibration.fit(np.random.default_rng(0).gamma(2, 1, 1000))
    for p in (0.01, 0.1, 0.5):
        assert calibration.p_value(np.nextafter(calibration.threshold(p), 99))[0] <= p + 1e-9


def test_the_more_scores_are_known_the_closer_a_threshold_is_to_the_inverse_of_the_p_value() -> (
    None
):
    parts = []
    for count in (30, 60, 180, 500, 4000):
        calibration = Calibration.fit(np.random.default_rng(0).gamma(2, 1, count))
        p = 0.1 / (count + 1)
        p_value, extrapolated = calibration.p_value(calibration.threshold(p))
        assert extrapolated
        parts.append(p_value / p)
    assert np.all(np.diff(parts) > -1e-9)
    assert parts[0] < 0.5
    assert 0.95 < parts[-1] <= 1


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [30, 60, 150])
def test_false_positives_stay_near_0_1_percent_with_few_windows(name: str, count: int) -> None:
    random = np.random.default_rng(count)
    truth = np.sort(SAMPLERS[name](random, 200_000))
    thresholds = [
        Calibration.fit(scores).threshold(1e-3) for scores in SAMPLERS[name](random, (400, count))
    ]
    realised = 1 - np.searchsorted(truth, thresholds, side="right") / len(truth)
    assert np.median(realised) <= 1.5e-3
    assert realised.mean() <= 2.5e-3


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_threshold_from_30_windows_is_below_the_scores_of_a_clear_fault(
    name: str,
) -> None:
    random = np.random.default_rng(1)
    truth = SAMPLERS[name](random, 200_000)
    thresholds = [
        Calibration.fit(scores).threshold(1e-3) for scores in SAMPLERS[name](random, (400, 30))
    ]
    beyond = np.median(thresholds) - np.quantile(truth, 0.999)
    assert beyond <= 6 * truth.std()


def test_fewer_than_180_windows_are_provisional() -> None:
    scores = np.random.default_rng(0).normal(size=180)
    assert Calibration.fit(scores[1:]).provisional
    assert not Calibration.fit(scores).provisional


def test_the_rule_names_windows_and_independent_windows_while_provisional() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    assert Calibration.fit(scores, effective_count=12).rule == (
        "generalised Pareto tail on 50 held-out windows, worth 12 independent ones, provisional"
    )


@pytest.mark.parametrize("recordings", [10, 30, 100])
@pytest.mark.parametrize("name", ["exponential", "lognormal"])
def test_windows_that_resemble_each_other_hold_the_rate_within_a_factor_of_3(
    name: str, recordings: int
) -> None:
    random = np.random.default_rng(recordings)
    draw: dict[str, Callable[..., npt.NDArray[np.float64]]] = {
        "exponential": random.exponential,
        "lognormal": lambda size: np.asarray(random.lognormal(0.0, 0.7, size)),
    }

    def record(count: int) -> npt.NDArray[np.float64]:
        return draw[name](size=(count, 1)) + 0.4 * random.normal(size=(count, 5))

    unseen, start_s = record(20_000), np.tile(np.arange(5) * 2.0, recordings)
    session = np.repeat(np.arange(recordings), 5)
    rates = []
    for _ in range(100):
        scores = record(recordings).ravel()
        effective = count_effective_windows(scores, session, start_s, 2.0)
        threshold = Calibration.fit(scores, effective_count=effective).threshold(1e-3)
        rates.append(float((unseen > threshold).mean()))
    assert np.mean(rates) <= 3e-3


def pareto_quantiles(count: int, shape: float) -> npt.NDArray[np.float64]:
    """Evenly ranked scores of a generalised Pareto distribution with scale 1."""
    upper = 1 - (np.arange(count) + 0.65) / count
    return np.asarray((upper**-shape - 1) / shape)


@pytest.mark.parametrize(
    ("count", "tail"), [(12, 6), (30, 10), (60, 10), (100, 15), (200, 30), (4000, 500)]
)
def test_the_tail_is_fitted_to_its_scores_and_shrunk_as_if_by_40_exponential_ones(
    count: int, tail: int
) -> None:
    scores = pareto_quantiles(count, shape=0.3)
    excess = scores[-tail:] - scores[-tail - 1]
    a0 = excess.mean()
    a1 = np.mean((1 - (np.arange(tail) + 0.65) / tail) * excess)
    shape = (2 - a0 / (a0 - 2 * a1)) * tail / (tail + 40)
    calibration = Calibration.fit(scores)
    assert calibration.tail_shape == pytest.approx(shape)
    assert calibration.tail_scale == pytest.approx(a0 * (1 - shape) + shape * excess[-1])


@pytest.mark.parametrize(("distribution_shape", "tail_shape"), [(0.9, 0.5), (-0.5, 0.0)])
def test_the_tail_shape_is_kept_in_0_to_one_half(
    distribution_shape: float, tail_shape: float
) -> None:
    calibration = Calibration.fit(pareto_quantiles(4000, distribution_shape))
    assert calibration.tail_shape == tail_shape


@pytest.mark.parametrize("scores", [[3.0] * 20, [0.0, 0.0], [1.0] * 19 + [2.0], [-5.0] * 200])
def test_constant_and_tied_scores_give_a_threshold_just_above_them(scores: list[float]) -> None:
    calibration = Calibration.fit(scores)
    threshold = calibration.threshold(1e-3)
    assert max(scores) < threshold < max(scores) + 10
    assert calibration.p_value(max(scores))[1] is False


def test_tied_scores_have_a_tail_of_a_tenth_of_their_standard_deviation() -> None:
    assert Calibration.fit([0.0] * 20 + [1.0] * 20).tail_scale == pytest.approx(0.05)


def test_the_allowed_number_of_scores_above_a_threshold_is_not_lost_to_rounding() -> None:
    assert 0.29 * 100 < 29
    assert Calibration.fit(np.arange(99.0)).threshold(0.29) == 70.0


def test_many_scores_are_summarised_without_changing_p_values_or_thresholds() -> None:
    scores = np.random.default_rng(0).gamma(2, 1, 100_000)
    calibration = Calibration.fit(scores)
    assert calibration.count == 100_000
    assert len(calibration.scores) == 4096
    assert calibration.threshold(1e-3) == np.sort(scores)[100_000 - 100]
    for value in (0.1, 1.0, 3.0, 8.0):
        exact = (1 + np.count_nonzero(scores >= value)) / 100_001
        assert calibration.p_value(value)[0] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("count", [2, 30, 4096, 4097, 20_000])
def test_a_calibration_survives_json_exactly(count: int) -> None:
    calibration = Calibration.fit(np.random.default_rng(0).normal(size=count))
    text = json.dumps(calibration.to_dict(), allow_nan=False)
    assert Calibration.from_dict(json.loads(text)) == calibration


def test_the_stored_scores_cannot_be_changed() -> None:
    scores = np.array([1.0, 2.0, 3.0])
    calibration = Calibration.fit(scores)
    scores[:] = 0
    assert calibration.scores.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        calibration.scores[0] = 5


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [1.0, 1e200]])
def test_scores_that_cannot_calibrate_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration.fit(scores)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, math.nan])
def test_a_threshold_needs_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        Calibration.fit([1.0, 2.0]).threshold(p)


def test_a_score_that_is_not_a_number_has_no_p_value() -> None:
    with pytest.raises(ValueError, match="not a number"):
        Calibration.fit([1.0, 2.0]).p_value(math.nan)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 1},
        {"count": 4},
        {"count": True},
        {"scores": [3.0, 2.0, 1.0]},
        {"scores": [1.0, 2.0, math.nan]},
        {"scores": [1.0, 2.0, "3"]},
        {"scores": "123"},
        {"ranks": [0, 2, 1]},
        {"ranks": [0, 1]},
        {"tail_scale": 0},
        {"tail_scale": math.inf},
        {"tail_shape": -1},
        {"tail_shape": None},
    ],
)
def test_damaged_values_are_refused(change: dict[str, object]) -> None:
    values = Calibration.fit([1.0, 2.0, 3.0]).to_dict() | change
    with pytest.raises(ValueError, match="expected"):
        Calibration.from_dict(values)
