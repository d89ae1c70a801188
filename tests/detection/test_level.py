"""A change of level that all frequencies have in common is an event of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asd_monitor.audio.windowing import clip_windows
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings, LevelAction
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.level import LevelChange
from asd_monitor.detection.verdict import explain_rules
from asd_monitor.quickstart import Fitted, Recording, fit
from asd_monitor.records import FloatArray, State, WindowScore
from tests.rig.records import SCORE

WINDOW, RATE_HZ = 32_000, 16_000
PER_BLOCK = 5


def learn() -> VoiceStatistics:
    change_db = 0.4 * np.random.default_rng(0).standard_normal(180 * PER_BLOCK)
    fitted = VoiceStatistics.fit(
        ["louder", "quieter"],
        np.stack([change_db, -change_db], axis=1),
        np.abs(change_db),
        np.zeros(len(change_db)),
        2.0 * np.arange(len(change_db)),
        2.0,
        1.0,
    )
    assert fitted is not None
    return fitted


RULE = DecisionRule(
    target="pump",
    threshold=4.0,
    clear_below=2.0,
    normal_range=None,
    provisional=False,
    window_samples=WINDOW,
    sample_rate_hz=RATE_HZ,
    blocks_between_alarms=777_600.0,
    level_changes=learn(),
)


def window(index: int, change_db: float | None) -> WindowScore:
    return replace(
        SCORE, seq=index, window_start=index * WINDOW, value=0.5, level_change_db=change_db
    )


def state_after(change_db: float | None, action: LevelAction, seconds: int = 60) -> Alarm:
    alarm = Alarm("pump", AlarmSettings(level=action), "run")
    alarm.configure(RULE, at=0.0)
    for index in range(seconds // 2):
        alarm.update(window(index, change_db))
    return alarm


@pytest.mark.parametrize("change_db", [3.0, 6.0, -3.0, -6.0])
def test_three_decibels_are_a_level_event_within_a_minute(change_db: float) -> None:
    alarm = Alarm("pump", AlarmSettings(), "run")
    alarm.configure(RULE, at=0.0)
    transitions = [alarm.update(window(index, change_db))[1] for index in range(30)]
    (raised,) = [t for t in transitions if t is not None and t.state is State.WARNING]
    assert raised.rule == "level"
    side = "louder" if change_db > 0 else "quieter"
    assert f"all frequencies are {side} by {abs(change_db):.0f} dB" in raised.reason


@pytest.mark.parametrize("change_db", [0.0, 1.0, -1.0, None])
def test_a_decibel_is_none(change_db: float | None) -> None:
    assert state_after(change_db, "warning", 3600).state is State.NORMAL


def test_it_is_an_alarm_a_warning_or_nothing_as_set() -> None:
    assert state_after(6.0, "alarm").state is State.ALARM
    assert state_after(6.0, "warning").state is State.WARNING
    assert state_after(6.0, "off").state is State.NORMAL
    explained = [explain_rules(RULE, AlarmSettings(level=action)) for action in ("warning", "off")]
    assert "all frequencies alike" in explained[0]["level"]
    assert "level" not in explained[1]


def test_a_warning_of_the_level_holds_no_alarm_of_the_sound() -> None:
    rule = LevelChange("warning")
    rule.configure(RULE)
    for index in range(30):
        rule.update(window(index, 6.0))
    assert rule.warns
    assert rule.quiet


def test_the_evidence_survives_a_restart() -> None:
    before, after = LevelChange("warning"), LevelChange("warning")
    for rule in (before, after):
        rule.configure(RULE)
    for index in range(30):
        before.update(window(index, -6.0))
    after.restore(before.evidence)
    assert after.warns
    assert after.description == before.description
    after.reset()
    after.restore({"values": ["x", None], "change_db": 1})
    assert not after.warns


def test_the_statistics_pass_through_a_model_file() -> None:
    assert DecisionRule.from_dict(RULE.to_dict()) == RULE


PUMP = PumpSound(1, RATE_HZ)


@pytest.fixture(scope="module")
def fitted_pump() -> Fitted:
    return fit([Recording("normal", PUMP.block(0, 60 * RATE_HZ))], target="pump", window_s=2.0)


def judge_level(fitted: Fitted, sound: FloatArray) -> LevelChange:
    windows = torch.from_numpy(clip_windows(sound, WINDOW, WINDOW).copy())
    with torch.no_grad():
        measured = fitted.module.measure(windows, torch.zeros(len(windows), dtype=torch.int64))
    rule = LevelChange("warning")
    rule.configure(DecisionRule.from_manifest(fitted.manifest, "pump"))
    for index, change_db in enumerate(measured[:, -1].tolist()):
        rule.update(window(index, change_db))
    return rule


@pytest.mark.parametrize("fault_level", [0.5, 1.0])
def test_a_fault_that_raises_only_the_high_bands_is_no_change_of_level(
    fitted_pump: Fitted, fault_level: float
) -> None:
    faulty = PUMP.block(100 * RATE_HZ, 100 * RATE_HZ, fault_level)
    assert not judge_level(fitted_pump, faulty).warns


@pytest.mark.parametrize("gain_db", [-6.0, 6.0])
def test_a_change_of_gain_of_the_same_machine_is_one(fitted_pump: Fitted, gain_db: float) -> None:
    sound = PUMP.block(100 * RATE_HZ, 60 * RATE_HZ) * np.float32(10 ** (gain_db / 20))
    rule = judge_level(fitted_pump, sound)
    assert rule.warns
    assert "by 6 dB" in rule.description
