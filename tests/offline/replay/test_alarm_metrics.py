"""Detection delays and false alarms of the alarm on the clips of a section."""

from pathlib import Path

from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, WindowScore
from asd_offline.datasets import Clip
from asd_offline.replay.alarm_metrics import AlarmMetrics, AlarmReplay, format_rules
from asd_offline.replay.records import ClipResult
from tests.detection.test_alarm import VOICES

RULE = DecisionRule(
    target="fan",
    threshold=5.0,
    clear_below=3.0,
    normal_range=NormalRange(level=1.0, rank=1, segments=30, effective_segments=30.0),
    provisional=False,
    window_samples=20,
    sample_rate_hz=10,
    voices=VOICES,
)
"""A block of ten seconds at 2.0 adds 2.5 of the 6 that raise the alarm."""


def clip(label: int, value: float) -> ClipResult:
    """Return a clip of 10 s whose five windows of 2 s have the same score."""
    windows = tuple(
        WindowScore(
            machine="fan",
            seq=index,
            window_start=20 * index,
            captured_at=2.0 * (index + 1),
            quality=Quality.OK,
            value=value,
            p_value=0.1,
            extrapolated=False,
            threshold=RULE.threshold,
            level_dbfs=-20.0,
            lost_samples=0,
            inference_s=0.0,
            recording="a.wav",
        )
        for index in range(5)
    )
    labelled = Clip(Path("a.wav"), 2020, "fan", "id_00", "", "test", label, name="a.wav")
    return ClipResult(labelled, windows, value, 0.1, sample_count=100, channels=1)


def alarm_metrics(*clips: ClipResult) -> AlarmMetrics:
    replay = AlarmReplay(RULE, AlarmSettings())
    for result in clips:
        replay.update(result)
    return replay.metrics()


def test_a_fault_below_the_threshold_is_detected_as_a_lasting_rise() -> None:
    assert alarm_metrics(clip(1, 2.0)).median_delay_s == 30.0
    assert alarm_metrics(clip(1, 0.2)).median_delay_s is None


def test_a_fault_above_the_threshold_is_detected_after_three_bouts() -> None:
    assert alarm_metrics(clip(1, 6.0)).median_delay_s == 22.0


def test_each_alarm_is_counted_for_the_rule_that_raised_it() -> None:
    metrics = alarm_metrics(clip(1, 2.0), clip(1, 2.0), clip(1, 6.0), *[clip(0, 2.0)] * 9)
    assert metrics.detected_by == {"sequential": 2, "window": 1}
    assert metrics.false_alarms_by == {"sequential": 1}
    assert format_rules(metrics.detected_by) == "2 by the rule sequential, 1 by the rule window"
    assert metrics.to_dict()["detected_by"] == {"sequential": 2, "window": 1}


def test_a_rate_of_false_alarms_needs_an_hour_of_normal_sound() -> None:
    assert not alarm_metrics(*[clip(0, 0.0)] * 359).supports_rate
    assert alarm_metrics(*[clip(0, 0.0)] * 360).supports_rate


def test_normal_clips_above_their_normal_range_for_long_are_a_false_alarm() -> None:
    assert alarm_metrics(*[clip(0, 2.0)] * 2, *[clip(0, 0.0)] * 3).false_alarms == 0
    assert alarm_metrics(*[clip(0, 2.0)] * 9, *[clip(0, 0.0)] * 9).false_alarms == 1


def test_a_clip_result_is_restored_from_its_json() -> None:
    result = clip(1, 6.0)
    assert ClipResult.from_json(result.to_json(), result.clip, RULE) == result
    unread = ClipResult(result.clip, reason="a.wav: cannot be read")
    assert ClipResult.from_json(unread.to_json(), result.clip, RULE) == unread
