"""A longer sample sharpens the limits, and never learns a drift away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.calibration.longer_sample import (
    CONFIRMED,
    MAX_CENTRE_SHIFT,
    MAX_LIMIT_WIDENING,
    MAX_WIDENING,
)
from asd_monitor.calibration.voices import FEW_BLOCKS
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.recalibration.extension import Extension, fit_extension
from asd_monitor.recalibration.sample import CalibrationSample
from asd_monitor.recalibration.stretches import StretchCollector
from tests.recalibration.streams import (
    NOON_S,
    SHA256,
    TARGET,
    WINDOW_S,
    collect,
    draw_voices,
    make_manifest,
    make_stretch,
    play,
)

SHORT = make_manifest(3.0)


def make_sample(hours: float, shift: float = 0.0, spread: float = 1.0) -> CalibrationSample:
    sample = CalibrationSample(SHA256, TARGET, WINDOW_S)
    for number in range(round(6 * hours)):
        stretch = make_stretch(NOON_S + 600.0 * number, shift=shift, seed=number)
        stretch.voices[:] = stretch.voices.mean(0) + spread * (
            stretch.voices - stretch.voices.mean(0)
        )
        sample.add(stretch)
    return sample


def fit(sample: CalibrationSample, manifest: Manifest = SHORT) -> Extension:
    extension = fit_extension(sample, manifest, NOON_S)
    assert extension is not None
    return extension


def test_hours_of_normal_sound_end_the_provisional_state_of_a_short_commissioning() -> None:
    before = DecisionRule.from_manifest(SHORT, TARGET)
    after = fit(make_sample(2)).make_rule(SHORT, 1.0)
    assert before.provisional
    assert not after.provisional
    rates = before.supported_false_alarms_per_month, after.supported_false_alarms_per_month
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[1] <= 1.0 < rates[0]


def test_a_sample_that_is_worth_less_than_commissioning_changes_nothing() -> None:
    assert fit_extension(make_sample(0.5), make_manifest(60.0), NOON_S) is None


@settings(max_examples=15, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(0.1, 5.0))
def test_whatever_the_sample_the_result_is_within_the_bounds(shift: float, spread: float) -> None:
    extension = fit(make_sample(1, shift, spread))
    before, after = SHORT.voices[TARGET], extension.voices
    moved = np.abs(after.centre - before.centre) / before.scale
    assert moved.max() <= MAX_CENTRE_SHIFT + 1e-9
    ratio = after.scale / before.scale
    smallest = 1 / (1 + FEW_BLOCKS / before.effective_blocks)
    assert smallest - 1e-9 <= ratio.min() <= ratio.max() <= MAX_WIDENING + 1e-9
    for name in ("evidence_limit", "notable_limit"):
        old, new = getattr(before, name).at(1e6), getattr(after, name).at(1e6)
        assert new <= MAX_LIMIT_WIDENING * old + 1e-9
    known, level = SHORT.calibrations[TARGET].normal_range, extension.calibration.normal_range
    assert known is not None
    assert level is not None
    assert level.level <= known.level
    rules = DecisionRule.from_manifest(SHORT, TARGET), extension.make_rule(SHORT, 1.0)
    middle = float(SHORT.calibrations[TARGET].spaced_scores(3)[1])
    thresholds = [rule.threshold for rule in rules]
    assert thresholds[0] is not None
    assert thresholds[1] is not None
    assert thresholds[1] - middle <= MAX_WIDENING * (thresholds[0] - middle) + 1e-9


def test_a_slow_drift_never_enters_the_centre() -> None:
    manifest = make_manifest(20.0)
    rule = DecisionRule.from_manifest(manifest, TARGET)
    assert rule.voices is not None
    windows = round(86_400 / WINDOW_S)
    drift = np.linspace(0.0, 6.0, windows)[:, None] * rule.voices.scale
    collector = StretchCollector(rule)
    sample = CalibrationSample(SHA256, TARGET, WINDOW_S)
    for stretch in collect(play(draw_voices(windows) - drift), collector):
        sample.add(stretch)
    assert len(sample) > 600
    after = fit(sample, manifest).voices
    moved = np.abs(after.centre - rule.voices.centre) / rule.voices.scale
    assert moved.max() <= MAX_CENTRE_SHIFT + 1e-9
    # What has drifted by 6 scales at the end still deviates by far more than the slack.
    late = after.standardise(-drift[-1] + rule.voices.centre)
    assert float(late[0]) < -3.0


def test_a_person_may_move_the_centre() -> None:
    shift = 4.0 * float(SHORT.voices[TARGET].scale.max())
    extension = fit_extension(make_sample(1, shift), SHORT, NOON_S, CONFIRMED)
    assert extension is not None
    assert extension.voices.centre == pytest.approx([shift] * 3, abs=0.05)


def test_json_restores_an_extension() -> None:
    extension = fit(make_sample(1))
    assert Extension.from_json(extension.to_json()) == extension


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version": 1}', b"\xff"])
def test_a_damaged_extension_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Extension.from_json(content)
