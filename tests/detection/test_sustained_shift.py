"""A sustained shift is reported once normal sound could not have stayed there by chance."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.normal_range import MAX_DURATION_S, NormalRange, count_segment_windows
from asd_monitor.detection.sustained_shift import SustainedShift

WINDOW_S = 2.0
RATE_HZ = 10
WINDOW = round(WINDOW_S * RATE_HZ)


def range_of(levels: list[float], session_s: float = 1e9) -> NormalRange:
    """Return the normal range of segments of five equal windows, in sessions of that length."""
    scores = np.repeat(levels, 5)
    at_s = WINDOW_S * np.arange(len(scores))
    return NormalRange.fit(scores, at_s // session_s, at_s % session_s, WINDOW_S)


def shift(normal_range: NormalRange | None, min_duration_s: float = 60.0) -> SustainedShift:
    shift = SustainedShift(min_duration_s)
    shift.configure(normal_range, WINDOW, RATE_HZ)
    return shift


def durations_s(shift: SustainedShift, scores: list[float]) -> list[float]:
    durations = []
    for index, score in enumerate(scores):
        shift.update(score, index * WINDOW)
        durations.append(shift.duration_s)
    return durations


def test_the_level_is_the_highest_of_few_segments() -> None:
    assert range_of([1.0, 3.0, 2.0]).level == 3.0


def test_of_many_segments_one_in_fifty_is_at_the_level_or_above() -> None:
    normal_range = range_of([float(level) for level in range(200)])
    assert (normal_range.rank, normal_range.level) == (4, 196.0)


def test_two_odd_windows_of_five_do_not_change_the_level() -> None:
    scores = [0.0, 9.0, 0.0, 9.0, 0.0] * 4
    normal_range = NormalRange.fit(scores, np.zeros(20), WINDOW_S * np.arange(20), WINDOW_S)
    assert (normal_range.level, normal_range.segments) == (0.0, 4)


def test_a_start_just_before_a_segment_because_of_rounding_belongs_to_the_segment() -> None:
    starts_s = [0.0, 10.0 - 1e-6, 20.0 - 1e-6]
    assert NormalRange.fit([0.0, 1.0, 2.0], np.zeros(3), starts_s, window_s=10.0).segments == 3


@pytest.mark.parametrize(
    ("window_s", "windows"), [(0.5, 20), (2.0, 5), (4.0, 2), (10.0, 1), (30.0, 1)]
)
def test_a_segment_is_about_ten_seconds_and_at_least_one_window(
    window_s: float, windows: int
) -> None:
    assert count_segment_windows(window_s) == windows


@pytest.mark.parametrize(("segments", "run"), [(10, 5), (30, 4), (98, 2)])
def test_the_duration_is_where_the_probability_of_exchangeable_segments_falls_to_p(
    segments: int, run: int
) -> None:
    normal_range = NormalRange(0.0, 1, segments, float(segments))
    p = 1 / math.comb(segments + run, run)
    assert normal_range.min_duration_s(p, WINDOW_S) == pytest.approx(10.0 * run)


def test_normal_sound_stays_above_its_level_as_rarely_as_stated() -> None:
    random = np.random.default_rng(0)
    learned, live = random.gamma(2.0, size=(20_000, 10)), random.gamma(2.0, size=(20_000, 3))
    above = (live > learned.max(axis=1, keepdims=True)).all(axis=1)
    p = 1 / math.comb(13, 3)
    assert above.mean() == pytest.approx(p, rel=0.4)
    assert NormalRange(0.0, 1, 10, 10.0).min_duration_s(p, WINDOW_S) == pytest.approx(30.0)


@given(
    counts=st.lists(st.integers(1, 98), min_size=2),
    ps=st.lists(st.floats(1e-9, 0.5), min_size=2),
)
def test_less_normal_sound_or_a_smaller_p_never_shortens_the_duration(
    counts: list[int], ps: list[float]
) -> None:
    by_count = [
        NormalRange(0.0, 1, n, float(n)).min_duration_s(1e-5, WINDOW_S) for n in sorted(counts)
    ]
    by_p = [NormalRange(0.0, 1, 20, 20.0).min_duration_s(p, WINDOW_S) for p in sorted(ps)]
    assert by_count == sorted(by_count, reverse=True)
    assert by_p == sorted(by_p, reverse=True)
    assert max(*by_count, *by_p) <= MAX_DURATION_S


def test_sound_that_changes_slowly_counts_for_less_and_needs_a_longer_duration() -> None:
    random = np.random.default_rng(0)
    quick = range_of(random.normal(size=30).tolist())
    slow = range_of(np.repeat(random.normal(size=6), 5).tolist())
    assert slow.effective_segments < 0.5 * slow.segments
    assert slow.min_duration_s(1e-5, WINDOW_S) > 2 * quick.min_duration_s(1e-5, WINDOW_S)


def test_recordings_of_different_sessions_are_independent() -> None:
    levels = np.repeat(np.arange(5.0), 4).tolist()
    assert range_of(levels, session_s=10.0).effective_segments == 20
    assert range_of(levels).effective_segments < 10


def test_the_correlation_of_segments_is_shrunk_as_if_by_five_uncorrelated_pairs() -> None:
    levels = [0.0] * 4 + [1.0] * 4  # seven pairs of neighbours: six alike, one opposite
    correlation = (6 - 1) / (7 + 5)
    expected = 8 * (1 - correlation) / (1 + correlation)
    assert range_of(levels).effective_segments == pytest.approx(expected)


def test_the_correlation_of_segments_is_at_most_95_percent() -> None:
    levels = np.linspace(0, 1, 2000).tolist()
    assert range_of(levels).effective_segments == pytest.approx(2000 * 0.05 / 1.95)


def test_the_duration_is_at_most_an_hour() -> None:
    assert NormalRange(0.0, 1, 1, 1.0).min_duration_s(1e-9, WINDOW_S) == 3600.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_range_survives_json_exactly(levels: list[float]) -> None:
    normal_range = range_of(levels)
    assert 0 < normal_range.effective_segments <= normal_range.segments == len(levels)
    text = json.dumps(normal_range.to_dict(), allow_nan=False)
    assert NormalRange.from_dict(json.loads(text)) == normal_range


def test_a_calibration_keeps_its_range_and_works_without_one() -> None:
    without = Calibration.fit([1.0, 2.0, 3.0])
    with_range = replace(without, normal_range=range_of([1.0, 2.0]))
    assert Calibration.from_dict(json.loads(json.dumps(with_range.to_dict()))) == with_range
    values = without.to_dict()
    del values["usual"]
    assert Calibration.from_dict(values).normal_range is None


@pytest.mark.parametrize(
    "change",
    [
        {"level": math.nan},
        {"level": "1"},
        {"rank": 0},
        {"rank": 4},
        {"stretches": 0},
        {"stretches": 3.0},
        {"independent": 0.0},
        {"independent": 4.0},
        {"independent": math.nan},
    ],
)
def test_a_damaged_range_is_refused(change: dict[str, object]) -> None:
    values = range_of([1.0, 2.0, 3.0]).to_dict() | change
    with pytest.raises(ValueError, match="expected"):
        NormalRange.from_dict(values)


def test_a_range_that_is_not_an_object_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an object"):
        Calibration.from_dict(Calibration.fit([1.0, 2.0]).to_dict() | {"usual": 3})


def test_a_shift_is_measured_from_its_first_window() -> None:
    assert durations_s(shift(range_of([1.0] * 30)), [2.0, 2.0, 2.0]) == [2.0, 4.0, 6.0]


def test_two_quiet_windows_of_five_do_not_interrupt_a_shift_but_three_do() -> None:
    durations = durations_s(shift(range_of([1.0] * 30)), [2.0] * 5 + [0.0, 0.0] + [2.0] * 5)
    assert durations[-1] == 24.0
    durations = durations_s(shift(range_of([1.0] * 30)), [2.0] * 5 + [0.0, 0.0, 0.0] + [2.0] * 5)
    assert 0.0 in durations[5:]


def test_an_alarm_needs_the_configured_duration_and_a_warning_half_of_it() -> None:
    sustained = shift(
        range_of(np.random.default_rng(0).normal(size=300).tolist()), min_duration_s=600.0
    )
    assert (sustained.warning_s, sustained.alarm_s) == (300.0, 600.0)


def test_a_warning_needs_a_probability_of_1e_4_and_an_alarm_of_1e_5() -> None:
    normal_range = NormalRange(0.0, 1, 10, 10.0)
    sustained = shift(normal_range, min_duration_s=1.0)
    assert sustained.warning_s == normal_range.min_duration_s(1e-4, WINDOW_S)
    assert sustained.alarm_s == normal_range.min_duration_s(1e-5, WINDOW_S)


def test_a_level_at_the_end_of_the_normal_range_is_no_shift() -> None:
    assert durations_s(shift(range_of([1.0] * 30)), [1.0] * 10)[-1] == 0.0


def test_little_normal_sound_lengthens_both_durations() -> None:
    sustained = shift(range_of([1.0, 2.0, 3.0], session_s=10.0))
    assert 60.0 < sustained.warning_s < sustained.alarm_s <= MAX_DURATION_S


@pytest.mark.parametrize(
    "sustained", [shift(None), shift(range_of([1.0] * 30), min_duration_s=0.0)]
)
def test_without_a_range_or_switched_off_nothing_is_reported(sustained: SustainedShift) -> None:
    assert durations_s(sustained, [1e9] * 100)[-1] == 0.0
    assert not sustained.warns
    assert not sustained.alarms
