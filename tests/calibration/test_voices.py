"""Blocks of voices give limits that normal sound exceeds about as often as asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.calibration.blocks import (
    Blocks,
    blocks_per_month,
    count_effective_windows,
    cut_blocks,
    log_mean_exp,
)
from asd_monitor.calibration.false_alarm_limits import FalseAlarmLimit, draw_chains
from asd_monitor.calibration.voices import SLACK, VoiceStatistics

WINDOW_S = 2.0
PER_BLOCK = 5
VOICES = 6


def autoregressive(random: np.random.Generator, blocks: int, correlation: float) -> np.ndarray:
    """Return ``(blocks, VOICES)`` of variance 1, half of it common to all voices."""
    noise = random.standard_normal((blocks, VOICES)) + random.standard_normal((blocks, 1))
    values = np.empty_like(noise)
    values[0] = noise[0]
    for index in range(1, blocks):
        fresh = np.sqrt(1 - correlation**2) * noise[index]
        values[index] = correlation * values[index - 1] + fresh
    return np.asarray(values / np.sqrt(2.0))


def learned(blocks: np.ndarray, random: np.random.Generator) -> VoiceStatistics:
    """Fit to windows whose blocks have the given levels, in one session."""
    windows = np.repeat(blocks, PER_BLOCK, axis=0)
    windows = windows + random.standard_normal(windows.shape)
    start_s = WINDOW_S * np.arange(len(windows))
    names = [f"voice {index}" for index in range(VOICES)]
    sessions = np.zeros(len(windows))
    fitted = VoiceStatistics.fit(names, windows, windows.max(1), sessions, start_s, WINDOW_S)
    assert fitted is not None
    return fitted


def count_alarms(statistics: VoiceStatistics, blocks: np.ndarray, limit: float) -> int:
    evidence = np.zeros(len(statistics.tested_names))
    alarms, active = 0, False
    for deviation in statistics.standardise(blocks):
        evidence = np.clip(evidence + deviation - SLACK, 0.0, limit + 5.0)
        largest = evidence.max()
        alarms += not active and largest > limit
        active = largest > limit or (active and largest > limit / 2)
    return alarms


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_normal_sound_exceeds_the_limit_about_as_often_as_asked_for(correlation: float) -> None:
    between, live = 2000.0, 40_000
    ratios = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        statistics = learned(autoregressive(random, 360, correlation), random)
        noise = random.standard_normal((live, VOICES)) / np.sqrt(PER_BLOCK)
        sound = autoregressive(random, live, correlation) + noise
        limit = statistics.evidence_limit.at(between)
        ratios.append(count_alarms(statistics, sound, limit) * between / live)
    assert np.mean(ratios) < 3.0


def test_a_small_lasting_rise_of_one_voice_exceeds_the_limit_of_a_month() -> None:
    random = np.random.default_rng(1)
    statistics = learned(autoregressive(random, 360, 0.0), random)
    fault = autoregressive(random, 60, 0.0)
    fault[:, 2] += 3.0
    limit = statistics.evidence_limit.at(3 * blocks_per_month(WINDOW_S))
    assert count_alarms(statistics, fault, limit) == 1


def test_voices_that_are_not_combined_are_tested_singly() -> None:
    random = np.random.default_rng(7)
    blocks = autoregressive(random, 40, 0.0)
    names = [f"voice {index}" for index in range(VOICES)]
    start_s, sessions = WINDOW_S * PER_BLOCK * np.arange(len(blocks)), np.zeros(len(blocks))
    fitted = VoiceStatistics.fit(
        names, blocks, blocks[:, 0], sessions, start_s, WINDOW_S * PER_BLOCK, combined=2
    )
    assert fitted is not None
    assert VoiceStatistics.from_dict(fitted.to_dict()) == fitted
    normal, changed = fitted.centre.copy(), fitted.centre.copy()
    changed[2:] += 3.0 * fitted.scale[2:]
    assert fitted.standardise(changed)[2:VOICES] == pytest.approx(3.0)
    assert fitted.standardise(changed)[VOICES:] == pytest.approx(
        fitted.standardise(normal)[VOICES:]
    )


def test_one_odd_block_is_not_enough_evidence() -> None:
    random = np.random.default_rng(2)
    statistics = learned(autoregressive(random, 30, 0.0), random)
    assert (
        count_alarms(statistics, np.full((1, VOICES), 1e6), statistics.evidence_limit.smallest) == 0
    )


def test_more_sound_supports_fewer_false_alarms() -> None:
    random = np.random.default_rng(3)
    short, long = (learned(autoregressive(random, count, 0.0), random) for count in (30, 360))
    assert short.supported_blocks < long.supported_blocks
    assert short.scale.mean() > long.scale.mean()


def test_correlated_blocks_count_for_less() -> None:
    random = np.random.default_rng(4)
    white = learned(autoregressive(random, 360, 0.0), random)
    slow = learned(autoregressive(random, 360, 0.8), random)
    assert slow.effective_blocks < 0.5 * white.effective_blocks
    assert slow.evidence_limit.at(1e5) > white.evidence_limit.at(1e5)


def test_slow_changes_that_noise_hides_count_as_long() -> None:
    random = np.random.default_rng(10)
    keep = np.exp(-1 / 6)
    slow = autoregressive(random, 2000, keep) * np.sqrt(0.8)
    noise = random.standard_normal(slow.shape) * np.sqrt(0.2)
    blocks = Blocks(slow + noise, np.arange(len(slow)) > 0)
    expected = 0.2 + 0.8 * (1 + keep) / (1 - keep)
    assert blocks.correlation_times().mean() == pytest.approx(expected, rel=0.3)


def test_counts_of_notable_blocks_allow_for_their_clusters() -> None:
    random = np.random.default_rng(11)
    white = learned(autoregressive(random, 720, 0.0), random)
    slow = learned(autoregressive(random, 720, 0.85), random)
    assert slow.notable_limit.at(1e5) > 1.5 * white.notable_limit.at(1e5)


def test_too_little_sound_has_no_statistics() -> None:
    windows = np.zeros((PER_BLOCK * 3, 1))
    start_s = WINDOW_S * np.arange(len(windows))
    sessions = np.zeros(len(windows))
    assert VoiceStatistics.fit(["score"], windows, windows[:, 0], sessions, start_s, 2.0) is None


def test_constant_sound_has_finite_limits() -> None:
    windows = np.full((PER_BLOCK * 30, 1), 3.5)
    start_s = WINDOW_S * np.arange(len(windows))
    fitted = VoiceStatistics.fit(
        ["score"], windows, windows[:, 0], np.zeros(len(windows)), start_s, WINDOW_S
    )
    assert fitted is not None
    assert fitted.scale[0] > 0
    assert np.isfinite(fitted.evidence_limit.at(1e6))


def test_statistics_survive_json() -> None:
    random = np.random.default_rng(5)
    fitted = learned(autoregressive(random, 40, 0.0), random)
    restored = VoiceStatistics.from_dict(fitted.to_dict())
    assert restored.to_dict() == fitted.to_dict()
    np.testing.assert_array_equal(
        restored.standardise(np.ones(VOICES)), fitted.standardise(np.ones(VOICES))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("names", []),
        ("names", [1]),
        ("centre", [0.0]),
        ("scale", [0.0] * VOICES),
        ("scale", [float("nan")] * VOICES),
        ("blocks", True),
        ("effective_blocks", 1e9),
        ("evidence_limit", {"base": 1.0}),
        ("evidence_limit", {"base": 1.0, "slope": float("inf"), "smallest": 0.0}),
        ("notable_score", "high"),
        ("notable_limit", None),
        ("combined", 0),
        ("combined", VOICES + 1),
    ],
)
def test_invalid_statistics_are_refused(name: str, value: object) -> None:
    random = np.random.default_rng(6)
    values = learned(autoregressive(random, 20, 0.0), random).to_dict() | {name: value}
    with pytest.raises(ValueError):  # noqa: PT011 - each names its own entry
        VoiceStatistics.from_dict(values)


@given(st.floats(1.0, 1e9), st.floats(1.0, 1e9))
def test_rarer_false_alarms_never_lower_the_limit(first: float, second: float) -> None:
    limit = FalseAlarmLimit(1.0, 0.7, 2.0)
    low, high = sorted((first, second))
    assert 2.0 <= limit.at(low) <= limit.at(high)


def test_chains_follow_the_order_of_the_sound_only_within_a_session() -> None:
    in_order = np.array([False] + [True] * 99)
    apart = np.zeros(100, bool)
    steps = [np.diff(draw_chains(follows), axis=0) == 1 for follows in (in_order, apart)]
    assert steps[0].mean() > 0.9
    assert steps[1].mean() < 0.05


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=60),
    st.integers(1, 4),
)
def test_blocks_preserve_the_sum_of_a_session_of_whole_blocks(
    values: list[float], sessions: int
) -> None:
    whole = np.resize(values, (len(values) * PER_BLOCK, 1))
    session = np.arange(len(whole)) // (PER_BLOCK * max(1, len(values) // sessions))
    start_s = WINDOW_S * np.arange(len(whole))
    blocks = cut_blocks(whole, session, start_s, WINDOW_S)
    assert len(blocks) == len(values)
    assert blocks.means.mean() == pytest.approx(whole.mean(), abs=1e-9)
    assert not blocks.follows[0]


def test_windows_that_equal_their_block_count_once() -> None:
    random = np.random.default_rng(7)
    block = np.repeat(random.standard_normal(100), PER_BLOCK)
    start_s = WINDOW_S * np.arange(len(block))
    zeros = np.zeros(len(block))
    equal = count_effective_windows(block, zeros, start_s, WINDOW_S)
    white = count_effective_windows(random.standard_normal(len(block)), zeros, start_s, WINDOW_S)
    assert equal == pytest.approx(100, rel=0.25)
    assert white > 300


def test_log_mean_exp_lies_between_mean_and_maximum() -> None:
    values = np.array([0.0, 1.0, 800.0])
    assert values.mean() <= log_mean_exp(values) <= values.max()
