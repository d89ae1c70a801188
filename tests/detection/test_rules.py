"""Each rule finds its kind of fault, and a passing sound counts as one piece of evidence."""

from dataclasses import replace

import numpy as np
import pytest

from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.exceedances import ExceedanceBouts
from asd_monitor.detection.intermittent import NotableBlocks
from asd_monitor.detection.sequential import SequentialTest
from asd_monitor.records import WindowScore
from tests.rig.records import SCORE

WINDOW, RATE_HZ = 32_000, 16_000
PER_BLOCK = 5
THRESHOLD = 4.0
RANDOM = np.random.default_rng(0)


def learn(names: list[str], blocks: int = 180) -> VoiceStatistics:
    windows = RANDOM.standard_normal((blocks * PER_BLOCK, len(names)))
    start_s = 2.0 * np.arange(len(windows))
    fitted = VoiceStatistics.fit(
        names, windows, windows[:, 0], np.zeros(len(windows)), start_s, 2.0
    )
    assert fitted is not None
    return fitted


VOICES = learn(["level", "spectrum", "peaks"])
RULE = DecisionRule(
    target="pump",
    threshold=THRESHOLD,
    clear_below=2.0,
    normal_range=NormalRange(level=1.2, rank=1, segments=180, effective_segments=180.0),
    provisional=False,
    window_samples=WINDOW,
    sample_rate_hz=RATE_HZ,
    voices=VOICES,
    blocks_between_alarms=777_600.0,
)


def window(index: int, value: float = 0.0, voices: tuple[float, ...] = (0.0,) * 3) -> WindowScore:
    return replace(SCORE, seq=index, window_start=index * WINDOW, value=value, voices=voices)


def sequential(rule: DecisionRule = RULE) -> SequentialTest:
    test = SequentialTest()
    test.configure(rule)
    return test


def test_a_voice_that_stays_up_is_named_with_its_duration() -> None:
    test = sequential()
    for index in range(60):
        test.update(window(index, voices=(0.0, 1.5, 0.0)))
        if test.alarms:
            break
    assert test.alarms
    assert "the sound (tones)" in test.description
    assert f"for {test.duration_s:.0f} s" in test.description
    assert test.duration_s <= 60.0


def test_a_warning_comes_before_the_alarm() -> None:
    test = sequential()
    states = []
    for index in range(60):
        test.update(window(index, voices=(0.0, 1.1, 0.0)))
        states.append((test.warns, test.alarms))
    assert states.index((True, False)) < states.index((True, True))


def test_one_bout_of_any_loudness_gives_no_warning() -> None:
    test = sequential()
    for index in range(40):
        loud = 10 <= index < 15
        test.update(window(index, voices=(1e6,) * 3 if loud else (0.0,) * 3))
        assert not test.warns


def test_odd_blocks_with_normal_ones_between_never_add_up() -> None:
    test = sequential()
    for index in range(600):
        odd = index // PER_BLOCK % 4 == 0
        test.update(window(index, voices=(0.0, 3.0 if odd else 0.0, 0.0)))
        assert not test.alarms


def test_evidence_falls_when_the_sound_is_normal_again() -> None:
    test = sequential()
    for index in range(200):
        test.update(window(index, voices=(0.0, 5.0, 0.0)))
    assert test.alarms
    assert not test.quiet
    for index in range(200, 230):
        test.update(window(index))
    assert test.quiet
    assert test.fraction < 1.0


def test_audio_that_is_missing_ends_the_block_and_keeps_the_evidence() -> None:
    test = sequential()
    for index in range(2 * PER_BLOCK + 3):
        test.update(window(index, voices=(0.0, 5.0, 0.0)))
    before = test.fraction
    test.skip_gap()
    for index in range(100, 100 + PER_BLOCK - 1):
        test.update(window(index))
    assert test.fraction == before > 0.0


def test_a_model_file_with_only_a_score_is_tested_by_it() -> None:
    test = sequential(replace(RULE, voices=learn(["score"])))
    for index in range(60):
        test.update(window(index, value=1.5, voices=()))
    assert test.alarms
    assert "the score has been above its normal range" in test.description


def test_without_statistics_nothing_is_detected() -> None:
    test = sequential(replace(RULE, voices=None))
    for index in range(60):
        test.update(window(index, value=1e9))
    assert not test.alarms
    assert not test.warns
    assert test.quiet


def test_fewer_false_alarms_need_more_evidence() -> None:
    durations = []
    for blocks in (1e4, 1e12):
        test = sequential(replace(RULE, blocks_between_alarms=blocks))
        index = 0
        while not test.alarms:
            test.update(window(index, voices=(0.0, 1.3, 0.0)))
            index += 1
        durations.append(index)
    assert durations[0] < durations[1]


def bouts(min_duration_s: float = 20.0) -> ExceedanceBouts:
    rule = ExceedanceBouts(min_duration_s)
    rule.configure(RULE)
    return rule


@pytest.mark.parametrize(
    ("exceeding", "alarms"),
    [
        (range(11), True),
        ((0, 6, 12), True),
        (range(10), False),
        ((0, 1, 2, 3, 4), False),
        ((0, 20, 40), False),
    ],
    ids=["lasting 22 s", "returning", "lasting 20 s", "one bout", "far apart"],
)
def test_three_bouts_within_a_minute_raise_the_alarm(
    exceeding: tuple[int, ...], alarms: bool
) -> None:
    rule, raised = bouts(), False
    for index in range(60):
        rule.update(window(index, value=9.0 if index in exceeding else 0.0))
        raised |= rule.alarms
    assert raised is alarms


@pytest.mark.parametrize("min_duration_s", [0.0, 0.1, 1.0])
def test_with_the_shortest_duration_three_windows_in_succession_raise_the_alarm(
    min_duration_s: float,
) -> None:
    rule, raised = bouts(min_duration_s), []
    for index in range(3):
        rule.update(window(index, value=9.0))
        raised.append((rule.warns, rule.alarms))
    assert raised == [(False, False), (True, False), (True, True)]
    assert "3 periods of 2 s" in rule.description


def test_a_click_every_20_seconds_is_found_and_isolated_ones_are_not() -> None:
    def count(period_blocks: int) -> NotableBlocks:
        rule = NotableBlocks()
        rule.configure(RULE)
        for index in range(60 * PER_BLOCK):
            clicks = index % (period_blocks * PER_BLOCK) == 2
            rule.update(window(index, value=9.0 if clicks else 0.0))
        return rule

    assert count(2).alarms
    assert "30 of the last 60" in count(2).description
    assert not count(30).warns


def test_the_count_forgets_after_ten_minutes() -> None:
    rule = NotableBlocks()
    rule.configure(RULE)
    for index in range(120 * PER_BLOCK):
        rule.update(window(index, value=9.0 if index < 60 * PER_BLOCK else 0.0))
    assert rule.count == 0
    assert rule.quiet
