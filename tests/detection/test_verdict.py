"""One verdict for windows and recordings: its words, its rule, its limit."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.verdict import explain_rules, judge_clip
from asd_monitor.records import Quality, Verdict, WindowScore
from tests.detection.test_alarm import VOICES
from tests.rig.records import SCORE

THRESHOLD, LEVEL = 7.88, 1.37
SECOND = 10
RULE = DecisionRule(
    target="fan",
    threshold=THRESHOLD,
    clear_below=2.0,
    normal_range=NormalRange(LEVEL, rank=1, segments=10, effective_segments=10.0),
    provisional=True,
    window_samples=SECOND,
    sample_rate_hz=SECOND,
    voices=VOICES,
)
SETTINGS = AlarmSettings()


def windows(values: Sequence[float | None], hop: int = SECOND) -> list[WindowScore]:
    return [
        replace(
            SCORE,
            value=value,
            window_start=i * hop,
            threshold=THRESHOLD,
            quality=Quality.OK if value is not None else Quality.SILENT,
        )
        for i, value in enumerate(values)
    ]


def clip(values: Sequence[float | None], rule: DecisionRule = RULE, hop: int = SECOND) -> Verdict:
    scored = [value for value in values if value is not None]
    mean = sum(scored) / len(scored) if scored else None
    return judge_clip(mean, windows(values, hop), rule, SETTINGS)


@pytest.mark.parametrize(
    ("values", "word", "rule", "limit"),
    [
        ([9.0] * 10, "above threshold", "window", THRESHOLD),
        ([3.0] * 10, "above normal range", "sequential", LEVEL),
        ([0.2] * 10, "within normal range", "", LEVEL),
        ([0.2] * 7 + [9.0] + [0.2] * 2, "within normal range", "", LEVEL),
        (
            [0.2] * 7 + [9.0] + [0.2] * 12 + [9.0] + [0.2] * 20,
            "above threshold",
            "window",
            THRESHOLD,
        ),
        ([0.2] * 500 + [3.0] * 70, "above normal range", "sequential", LEVEL),
    ],
    ids=["above", "between", "below", "one window", "two bouts", "end of a long recording"],
)
def test_a_recording_is_judged_by_the_limit_that_it_exceeds(
    values: list[float | None], word: str, rule: str, limit: float
) -> None:
    verdict = clip(values)
    assert (verdict.word, verdict.rule, verdict.limit) == (word, rule, limit)


def test_the_sentence_names_limit_and_duration() -> None:
    assert clip([9.0] * 10).sentence.startswith("score above the threshold (7.88)")
    assert clip([3.0] * 10).sentence == (
        "median score 3.00 above the normal range (1.37); an alarm if it lasts"
    )
    assert clip([3.0] * 70).sentence == (
        "the score has been above its normal range (up to 1.37) for 70 s"
    )
    assert clip([0.2] * 10).sentence == "score within its normal range (up to 1.37)"


def test_overlapping_windows_of_a_recording_count_once() -> None:
    values = [0.2] * 10 + [9.0] * 11 + [0.2] * 40
    assert clip(values).word == "above threshold"
    assert clip(values, hop=SECOND // 2).word == "above normal range"


def test_a_model_without_normal_range_says_below_threshold() -> None:
    verdict = clip([3.0] * 10, replace(RULE, normal_range=None))
    assert (verdict.word, verdict.limit) == ("below threshold", THRESHOLD)


def test_without_any_limit_nothing_is_called_normal() -> None:
    verdict = clip([3.0], replace(RULE, threshold=None, normal_range=None))
    assert (verdict.word, verdict.limit) == ("no limit known", None)


def test_a_silent_recording_is_not_scored_and_says_why() -> None:
    verdict = clip([None, None])
    assert verdict.word == "not scored"
    assert verdict.sentence == "digital silence: the microphone is muted or not connected"


def live(values: Sequence[float], quality: Quality = Quality.OK) -> Verdict:
    alarm = Alarm("fan", SETTINGS, "run")
    alarm.configure(RULE, at=0.0)
    for window in windows(values)[:-1]:
        alarm.update(window)
    return alarm.update(replace(windows(values)[-1], quality=quality))[0].verdict


def test_a_window_is_judged_with_the_same_words_as_a_recording() -> None:
    assert live([0.2] * 12).word == clip([0.2] * 12).word
    assert live([3.0] * 12).word == clip([3.0] * 12).word
    assert live([9.0] * 12).word == clip([9.0] * 12).word


def test_no_sentence_calls_a_score_within_a_range_that_it_exceeds() -> None:
    first = live([0.2] * 20 + [3.0])
    assert (first.word, first.exceeds) == ("above normal range", False)
    assert first.sentence == "score above its normal range (1.37), but not yet for 10 s"
    lasting = live([0.2] * 15 + [1.5] * 9)
    assert lasting.word == "above normal range"
    assert lasting.sentence == (
        "median score of the last 10 s 1.50, above its normal range (up to 1.37); "
        "an alarm if it lasts"
    )


def test_the_reason_of_a_state_calls_no_score_within_a_range_that_it_exceeds() -> None:
    alarm = Alarm("fan", SETTINGS, "run")
    alarm.configure(RULE, at=0.0)
    decision, transition = alarm.update(windows([3.0])[0])
    assert transition is not None
    assert transition.reason == decision.reason == decision.verdict.sentence
    assert "within" not in transition.reason


def test_a_window_above_both_limits_names_both() -> None:
    verdict = live([9.0] * 12)
    assert verdict.rule == "window"
    assert verdict.sentence == (
        "score above the threshold (7.88); the score has been above its normal range "
        "(up to 1.37) for 10 s, 42% of the evidence for an alarm"
    )


@pytest.mark.parametrize("quality", [Quality.CLIPPED, Quality.DC])
def test_a_doubtful_window_is_never_within_a_limit(quality: Quality) -> None:
    assert live([0.2] * 12, quality).word == "not trusted"
    assert live([0.2] * 12 + [9.0], quality).word == "above threshold"


def test_each_rule_explains_when_it_reports() -> None:
    explained = explain_rules(RULE, SETTINGS)
    assert [*explained] == ["window", "sequential", "intermittent"]
    assert explained["window"] == (
        "a score above the threshold (7.88) in 2 periods of 10 s within 60 s gives a warning, "
        "in 3 an alarm"
    )
    assert "at 70% of the evidence for an alarm" in explained["sequential"]
    assert [*explain_rules(replace(RULE, voices=None), SETTINGS)] == ["window"]
