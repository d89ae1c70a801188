"""A lasting shift is told by how long normal sound could not have stayed there by chance."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.normal_range import LONGEST_S, UsualRange, stretch_windows
from asd_monitor.detection.level_shift import LastingShift

WINDOW_S = 2.0
RATE_HZ = 10
WINDOW = round(WINDOW_S * RATE_HZ)


def heard(levels: list[float], session_s: float = 1e9) -> UsualRange:
    """The range of stretches of five equal windows, in sessions of that length."""
    scores = np.repeat(levels, 5)
    at_s = WINDOW_S * np.arange(len(scores))
    return UsualRange.fit(scores, at_s // session_s, at_s % session_s, WINDOW_S)


def shift(usual: UsualRange | None, least_s: float = 60.0) -> LastingShift:
    found = LastingShift(least_s)
    found.arm(usual, WINDOW, RATE_HZ)
    return found


def lasting(found: LastingShift, scores: list[float]) -> list[float]:
    told = []
    for index, score in enumerate(scores):
        found.hear(score, index * WINDOW)
        told.append(found.for_s)
    return told


def test_the_level_is_the_highest_of_few_stretches() -> None:
    assert heard([1.0, 3.0, 2.0]).level == 3.0


def test_of_many_stretches_one_in_fifty_lies_at_the_level_or_above() -> None:
    usual = heard([float(each) for each in range(200)])
    assert (usual.rank, usual.level) == (4, 196.0)


def test_two_odd_windows_of_five_leave_the_level_where_it_is() -> None:
    scores = [0.0, 9.0, 0.0, 9.0, 0.0] * 4
    usual = UsualRange.fit(scores, np.zeros(20), WINDOW_S * np.arange(20), WINDOW_S)
    assert (usual.level, usual.stretches) == (0.0, 4)


@pytest.mark.parametrize(
    ("window_s", "windows"), [(0.5, 20), (2.0, 5), (4.0, 2), (10.0, 1), (30.0, 1)]
)
def test_a_stretch_is_about_ten_seconds_and_at_least_one_window(
    window_s: float, windows: int
) -> None:
    assert stretch_windows(window_s) == windows


@pytest.mark.parametrize(("stretches", "more"), [(10, 5), (30, 4), (98, 2)])
def test_the_wait_is_where_the_chance_of_exchangeable_stretches_falls_to_p(
    stretches: int, more: int
) -> None:
    usual = UsualRange(0.0, 1, stretches, float(stretches))
    p = 1 / math.comb(stretches + more, more)
    assert usual.lasting_s(p, WINDOW_S) == pytest.approx(10.0 * more)


def test_normal_sound_stays_above_its_level_as_rarely_as_promised() -> None:
    random = np.random.default_rng(0)
    learned, live = random.gamma(2.0, size=(20_000, 10)), random.gamma(2.0, size=(20_000, 3))
    above = (live > learned.max(axis=1, keepdims=True)).all(axis=1)
    p = 1 / math.comb(13, 3)
    assert above.mean() == pytest.approx(p, rel=0.4)
    assert UsualRange(0.0, 1, 10, 10.0).lasting_s(p, WINDOW_S) == pytest.approx(30.0)


@given(
    counts=st.lists(st.integers(1, 98), min_size=2),
    ps=st.lists(st.floats(1e-9, 0.5), min_size=2),
)
def test_less_learned_or_a_rarer_chance_never_make_the_wait_shorter(
    counts: list[int], ps: list[float]
) -> None:
    by_count = [UsualRange(0.0, 1, n, float(n)).lasting_s(1e-5, WINDOW_S) for n in sorted(counts)]
    by_p = [UsualRange(0.0, 1, 20, 20.0).lasting_s(p, WINDOW_S) for p in sorted(ps)]
    assert by_count == sorted(by_count, reverse=True)
    assert by_p == sorted(by_p, reverse=True)
    assert max(*by_count, *by_p) <= LONGEST_S


def test_sound_that_changes_slowly_counts_for_less_and_waits_for_longer() -> None:
    random = np.random.default_rng(0)
    quick = heard(random.normal(size=30).tolist())
    slow = heard(np.repeat(random.normal(size=6), 5).tolist())
    assert slow.independent < 0.5 * slow.stretches
    assert slow.lasting_s(1e-5, WINDOW_S) > 2 * quick.lasting_s(1e-5, WINDOW_S)


def test_recordings_that_have_nothing_to_do_with_one_another_are_independent() -> None:
    levels = np.repeat(np.arange(5.0), 4).tolist()
    assert heard(levels, session_s=10.0).independent == 20
    assert heard(levels).independent < 10


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_range_survives_json_exactly(levels: list[float]) -> None:
    usual = heard(levels)
    assert 0 < usual.independent <= usual.stretches == len(levels)
    text = json.dumps(usual.to_dict(), allow_nan=False)
    assert UsualRange.from_dict(json.loads(text)) == usual


def test_a_calibration_keeps_its_range_and_does_without() -> None:
    without = Calibration.fit([1.0, 2.0, 3.0])
    kept = replace(without, usual=heard([1.0, 2.0]))
    assert Calibration.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    values = without.to_dict()
    del values["usual"]
    assert Calibration.from_dict(values).usual is None


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
    values = heard([1.0, 2.0, 3.0]).to_dict() | change
    with pytest.raises(ValueError, match="expected"):
        UsualRange.from_dict(values)


def test_a_range_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an object"):
        Calibration.from_dict(Calibration.fit([1.0, 2.0]).to_dict() | {"usual": 3})


def test_a_shift_lasts_from_its_first_window_on() -> None:
    assert lasting(shift(heard([1.0] * 30)), [2.0, 2.0, 2.0]) == [2.0, 4.0, 6.0]


def test_two_quiet_windows_of_five_do_not_interrupt_a_shift_three_do() -> None:
    told = lasting(shift(heard([1.0] * 30)), [2.0] * 5 + [0.0, 0.0] + [2.0] * 5)
    assert told[-1] == 24.0
    told = lasting(shift(heard([1.0] * 30)), [2.0] * 5 + [0.0, 0.0, 0.0] + [2.0] * 5)
    assert 0.0 in told[5:]


def test_an_alarm_waits_for_the_least_time_and_a_warning_for_half_of_it() -> None:
    found = shift(heard(np.random.default_rng(0).normal(size=300).tolist()), least_s=600.0)
    assert (found.warning_s, found.alarm_s) == (300.0, 600.0)


def test_little_learned_makes_both_wait_for_longer() -> None:
    found = shift(heard([1.0, 2.0, 3.0], session_s=10.0))
    assert 60.0 < found.warning_s < found.alarm_s <= LONGEST_S


@pytest.mark.parametrize("found", [shift(None), shift(heard([1.0] * 30), least_s=0.0)])
def test_without_a_range_or_switched_off_nothing_is_told(found: LastingShift) -> None:
    assert lasting(found, [1e9] * 100)[-1] == 0.0
    assert not found.warns
    assert not found.alarms
