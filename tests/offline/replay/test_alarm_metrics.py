"""What the alarm would have done with the clips of a section."""

from pathlib import Path

import pytest

from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.detection.alarm import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_offline.datasets import Clip
from asd_offline.replay.alarm_metrics import AlarmReplay
from asd_offline.replay.job_results import ClipRow, WindowRow

RULE = DecisionRule(
    target="fan",
    threshold=5.0,
    clear_below=3.0,
    normal_range=NormalRange(level=1.0, rank=1, segments=30, effective_segments=30.0),
    provisional=False,
    window_samples=20,
    sample_rate_hz=10,
)


def clip(label: int, value: float) -> ClipRow:
    """Ten seconds: five windows of two, all with the same score."""
    windows = tuple(WindowRow(20 * i, value, 0.1, False, "ok", -20.0) for i in range(5))
    found = Clip(Path("a.wav"), 2020, "fan", "id_00", "", "test", label)
    return ClipRow(found, 100, value, 0.1, windows=windows)


def replayed(*clips: ClipRow, sustained_s: float = 60.0) -> AlarmReplay:
    replay = AlarmReplay(RULE, AlarmSettings(sustained_s=sustained_s))
    for each in clips:
        replay.update(each)
    return replay


@pytest.mark.parametrize(("sustained_s", "delay_s"), [(60.0, 60.0), (200.0, 200.0), (0.0, None)])
def test_a_fault_below_the_threshold_is_heard_by_its_lasting(
    sustained_s: float, delay_s: float | None
) -> None:
    figures = replayed(clip(1, 2.0), sustained_s=sustained_s).metrics()
    assert figures.median_delay_s == delay_s


def test_a_fault_over_the_threshold_is_heard_after_three_windows() -> None:
    assert replayed(clip(1, 6.0)).metrics().median_delay_s == 6.0


def test_normal_clips_that_stay_unusual_for_long_count_as_a_false_alarm() -> None:
    assert replayed(*[clip(0, 2.0)] * 3, *[clip(0, 0.0)] * 3).metrics().false_alarms == 0
    assert replayed(*[clip(0, 2.0)] * 9, *[clip(0, 0.0)] * 9).metrics().false_alarms == 1
