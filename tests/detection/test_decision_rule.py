"""The decision rule: thresholds of the settings, of the model file, or by default."""

import json
import math
from dataclasses import replace

import pytest

from asd_monitor.calibration.alarm_rate import exceedance_probability
from asd_monitor.calibration.blocks import block_windows
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Threshold
from tests.detection.test_alarm import VOICES
from tests.rig.toy_model import RATE_HZ, WINDOW_SAMPLES, calibration, manifest

STORED = {"pump": Threshold(1e6, 0.001, "by hand")}
CALIBRATION = calibration(0)
LONG = calibration(0, windows=3000)
"""Five minutes of windows."""
WINDOW_S = WINDOW_SAMPLES / RATE_HZ


def test_the_threshold_follows_from_the_false_alarms_that_are_asked_for() -> None:
    rules = [DecisionRule.from_manifest(manifest(), "pump", rate) for rate in (0.1, 1.0, 100.0)]
    thresholds = [rule.threshold or 0.0 for rule in rules]
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == 3
    assert rules[1].threshold == CALIBRATION.threshold(exceedance_probability(1.0, WINDOW_S))


def test_one_false_alarm_a_month_is_one_exceedance_in_about_a_thousand_windows() -> None:
    assert exceedance_probability(1.0, 2.0) == pytest.approx(0.001, rel=0.3)
    assert exceedance_probability(1.0, 10.0) == pytest.approx(0.005, rel=0.3)


def test_a_stored_threshold_is_used_only_where_there_is_no_calibration() -> None:
    assert DecisionRule.from_manifest(manifest(thresholds=STORED), "pump").threshold != 1e6
    bare = manifest(thresholds=STORED, calibrations={})
    assert DecisionRule.from_manifest(bare, "pump").threshold == 1e6


def test_an_alarm_clears_at_a_lower_score_than_it_is_raised_at() -> None:
    rule = DecisionRule.from_manifest(manifest(), "pump")
    assert rule.clear_below == CALIBRATION.threshold(0.01)
    assert rule.threshold is not None
    assert rule.clear_below < rule.threshold


def test_an_alarm_clears_within_the_scores_that_were_learned() -> None:
    few = calibration(0, windows=20)
    rule = DecisionRule.from_manifest(manifest(calibrations={"pump": few}), "pump")
    assert rule.clear_below == few.scores[-1]


def test_a_model_file_without_voices_is_tested_by_its_score() -> None:
    rule = DecisionRule.from_manifest(manifest(calibrations={"pump": LONG}), "pump")
    assert rule.voices is not None
    assert rule.voices.names == ("score",)
    assert rule.voices.blocks == LONG.count // block_windows(WINDOW_S)


def test_no_fewer_false_alarms_are_promised_than_the_sound_supports() -> None:
    learned = manifest(calibrations={"pump": LONG})
    rule = DecisionRule.from_manifest(learned, "pump", 0.001)
    assert rule.voices is not None
    assert rule.blocks_between_alarms == rule.voices.supported_blocks
    supported = rule.supported_false_alarms_per_month
    assert supported is not None
    assert supported > 0.001
    generous = DecisionRule.from_manifest(learned, "pump", 1000.0)
    assert generous.blocks_between_alarms < rule.blocks_between_alarms


def test_without_a_calibration_an_alarm_clears_at_the_threshold() -> None:
    bare = manifest(thresholds=STORED, calibrations={})
    rule = DecisionRule.from_manifest(bare, "pump")
    assert (rule.clear_below, rule.provisional, rule.normal_range) == (1e6, True, None)


def test_without_calibration_and_threshold_every_score_is_quiet() -> None:
    rule = DecisionRule.from_manifest(manifest(thresholds={}, calibrations={}), "pump")
    assert (rule.threshold, rule.clear_below) == (None, math.inf)


def test_the_rest_comes_from_the_manifest() -> None:
    normal_range = NormalRange(level=3.25, rank=1, segments=10, effective_segments=10.0)
    with_range = replace(calibration(0, windows=100), normal_range=normal_range)
    rule = DecisionRule.from_manifest(manifest(calibrations={"pump": with_range}), "pump")
    assert (rule.target, rule.normal_range, rule.provisional) == ("pump", normal_range, True)
    assert (rule.window_samples, rule.sample_rate_hz) == (WINDOW_SAMPLES, RATE_HZ)


@pytest.mark.parametrize("clear_below", [1.5, math.inf])
@pytest.mark.parametrize("normal_range", [None, NormalRange(1.0, 1, 30, 12.5)])
def test_a_rule_survives_json_exactly(clear_below: float, normal_range: NormalRange | None) -> None:
    voices = None if normal_range is None else VOICES
    rule = DecisionRule(
        "pump", 2.0, clear_below, normal_range, False, 32_000, 16_000, voices=voices
    )
    text = json.dumps(rule.to_dict(), allow_nan=False)
    assert DecisionRule.from_dict(json.loads(text)) == rule
