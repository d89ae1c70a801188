"""The decision rule: thresholds of the settings, of the model file, or by default."""

import json
import math
from dataclasses import replace

import pytest

from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Threshold
from tests.rig.toy_model import RATE_HZ, WINDOW_SAMPLES, calibration, manifest

STORED = {"pump": Threshold(1e6, 0.001, "by hand")}
CALIBRATION = calibration(0)


def test_the_threshold_of_the_settings_comes_before_the_stored_one() -> None:
    rule = DecisionRule.from_manifest(manifest(thresholds=STORED), "pump", p_raise=0.05)
    assert rule.threshold == CALIBRATION.threshold(0.05)


def test_the_stored_threshold_comes_before_the_default() -> None:
    assert DecisionRule.from_manifest(manifest(thresholds=STORED), "pump").threshold == 1e6


def test_the_stored_threshold_is_used_where_there_is_no_calibration() -> None:
    bare = manifest(thresholds=STORED, calibrations={})
    assert DecisionRule.from_manifest(bare, "pump", p_raise=0.05).threshold == 1e6


def test_the_default_threshold_is_one_in_a_thousand() -> None:
    rule = DecisionRule.from_manifest(manifest(thresholds={}), "pump")
    assert rule.threshold == CALIBRATION.threshold(0.001)


def test_the_default_clearing_level_is_one_in_a_hundred() -> None:
    rule = DecisionRule.from_manifest(manifest(), "pump")
    assert rule.clear_below == CALIBRATION.threshold(0.01)


def test_an_alarm_clears_at_a_lower_score_than_it_is_raised_at() -> None:
    rule = DecisionRule.from_manifest(manifest(), "pump", p_raise=0.005, p_clear=0.05)
    assert rule.clear_below == CALIBRATION.threshold(0.05)
    assert rule.threshold is not None
    assert rule.clear_below < rule.threshold


def test_an_alarm_never_clears_above_the_threshold() -> None:
    low = CALIBRATION.threshold(0.5)
    stored = manifest(thresholds={"pump": Threshold(low, 0.5, "by hand")})
    assert low < CALIBRATION.threshold(0.01)
    assert DecisionRule.from_manifest(stored, "pump").clear_below == low


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
    rule = DecisionRule("pump", 2.0, clear_below, normal_range, False, 32_000, 16_000)
    text = json.dumps(rule.to_dict(), allow_nan=False)
    assert DecisionRule.from_dict(json.loads(text)) == rule
