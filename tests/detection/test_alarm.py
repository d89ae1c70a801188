"""Exceedances and shifts raise the alarm, quiet windows clear it, and NORMAL needs evidence."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asd_monitor.calibration.false_alarm_limits import FalseAlarmLimit
from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, State, Transition, WindowScore

WINDOW = 10
RATE_HZ = 10
THRESHOLD, CLEAR_BELOW = 2.0, 1.0
SETTINGS = AlarmSettings(min_duration_s=2.0, hold_s=4.0)
"""Bouts are one window apart, and count for six."""
SHIFTED = 1.5
NORMAL_RANGE = NormalRange(level=1.2, rank=1, segments=180, effective_segments=180.0)
BLOCK = 10
VOICES = VoiceStatistics(
    names=("score",),
    centre=np.array([0.0]),
    scale=np.array([0.3]),
    blocks=180,
    effective_blocks=180.0,
    evidence_limit=FalseAlarmLimit(0.0, 0.0, 6.0),
    notable_score=99.0,
    notable_limit=FalseAlarmLimit(0.0, 0.0, 9.0),
)
"""Every block with SHIFTED adds 2.5 of the 6 that raise the alarm; 4.2 give a warning."""


def score(index: int, value: float | None = 0.0, quality: Quality = Quality.OK) -> WindowScore:
    """Return the score of the index-th of consecutive windows of one second."""
    start = index * WINDOW
    return WindowScore(
        machine="pump", seq=index, window_start=start, captured_at=float(index + 1),
        quality=quality, value=value, p_value=0.5, extrapolated=False, threshold=THRESHOLD,
        level_dbfs=-20.0, lost_samples=0, inference_s=0.001,
    )  # fmt: skip


RULE = DecisionRule(
    target="pump",
    threshold=THRESHOLD,
    clear_below=CLEAR_BELOW,
    normal_range=None,
    provisional=False,
    window_samples=WINDOW,
    sample_rate_hz=RATE_HZ,
)
RULE_WITH_RANGE = replace(RULE, normal_range=NORMAL_RANGE, voices=VOICES)


def configured(rule: DecisionRule = RULE, settings: AlarmSettings = SETTINGS) -> Alarm:
    alarm = Alarm("pump", settings, "run")
    alarm.configure(rule, at=0.0)
    return alarm


def states(alarm: Alarm, values: list[float], first: int = 0) -> list[State]:
    return [alarm.update(score(first + i, value))[0].state for i, value in enumerate(values)]


def test_the_state_is_unknown_until_a_window_was_scored() -> None:
    assert configured().state is State.UNKNOWN


def test_three_bouts_raise_the_alarm() -> None:
    got = states(configured(), [0, 3, 0, 3, 0, 3])
    assert got == [State.NORMAL] * 3 + [State.WARNING, State.WARNING, State.ALARM]


def test_one_window_never_raises_the_alarm() -> None:
    assert State.ALARM not in states(configured(), [0, 99, 0, 0, 0, 0, 99, 0, 0, 0, 0])


def test_an_alarm_clears_after_the_hold_below_the_lower_level() -> None:
    got = states(configured(), [3, 3, 3, 0, 0, 0, 0])
    assert got[2:] == [State.ALARM] * 4 + [State.NORMAL]


def test_scores_between_the_levels_keep_the_alarm() -> None:
    assert states(configured(), [3, 3, 3] + [1.5] * 20)[-1] is State.ALARM


def test_a_loud_window_restarts_the_hold() -> None:
    got = states(configured(), [3, 3, 3, 0, 0, 0, 1.5, 0, 0, 0])
    assert got[2:] == [State.ALARM] * 8


WITHOUT_HOLD = SETTINGS.model_copy(update={"hold_s": 0.0})


def test_without_a_hold_an_alarm_still_needs_a_quiet_window_to_clear() -> None:
    alarm = configured(settings=WITHOUT_HOLD)
    assert states(alarm, [3, 3, 3] + [1.5] * 10)[-1] is State.ALARM
    assert states(alarm, [0], first=13) == [State.NORMAL]


def test_the_exceedances_of_a_cleared_alarm_do_not_count_again() -> None:
    assert states(configured(settings=WITHOUT_HOLD), [3, 3, 3, 0, 0, 0, 3])[-1] is State.NORMAL


def test_overlapping_windows_count_once() -> None:
    alarm = configured()
    for start in range(10):
        alarm.update(replace(score(0, 9.0), window_start=start))
    assert alarm.state is State.UNKNOWN


@pytest.mark.parametrize("quality", [Quality.SILENT, Quality.STUCK, Quality.NON_FINITE])
def test_an_unscorable_window_makes_the_state_unknown(quality: Quality) -> None:
    alarm = configured()
    states(alarm, [0, 0])
    transition = alarm.update(score(2, None, quality))[1]
    assert transition is not None
    assert (transition.previous, transition.state) == (State.NORMAL, State.UNKNOWN)


@pytest.mark.parametrize("quality", [Quality.CLIPPED, Quality.DC])
def test_a_doubtful_window_is_never_normal_but_can_raise_the_alarm(quality: Quality) -> None:
    alarm = configured()
    assert alarm.update(score(0, 0.0, quality))[0].state is State.UNKNOWN
    for index in range(1, 4):
        alarm.update(score(index, 9.0, quality))
    assert alarm.state is State.ALARM


def test_an_alarm_survives_the_loss_of_audio() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3])
    alarm.mark_unknown("unplugged", 4.0)
    assert alarm.state is State.UNKNOWN
    assert states(alarm, [0, 0, 0, 0], first=10) == [State.ALARM] * 3 + [State.NORMAL]


def test_exceedances_before_a_gap_do_not_count_after_it() -> None:
    alarm = configured()
    states(alarm, [0, 3, 3])
    alarm.mark_unknown("unplugged", 4.0)
    assert states(alarm, [3, 0], first=10) == [State.UNKNOWN, State.NORMAL]


def test_learning_ends_in_unknown_and_continues_through_lost_audio() -> None:
    alarm = Alarm("pump", SETTINGS, "run")
    assert alarm.enter_learning(0.0) is not None
    assert alarm.mark_unknown("unplugged", 1.0) is None
    alarm.configure(RULE, at=2.0)
    assert alarm.state is State.UNKNOWN


def test_a_small_lasting_rise_gives_a_warning_then_an_alarm() -> None:
    got = states(configured(RULE_WITH_RANGE), [SHIFTED] * 60)
    assert got.index(State.WARNING) == 2 * BLOCK - 1
    assert got.index(State.ALARM) == 3 * BLOCK - 1


def test_the_duration_and_the_evidence_of_a_rise_are_reported() -> None:
    alarm = configured(RULE_WITH_RANGE)
    results = [alarm.update(score(i, SHIFTED)) for i in range(3 * BLOCK)]
    raised = results[-1][1]
    assert raised is not None
    assert raised.reason == "the score has been above its normal range (up to 1.20) for 30 s"
    decisions = [decision for decision, _ in results]
    assert [decision.shift_s for decision in decisions[BLOCK - 1 :: BLOCK]] == [10.0, 20.0, 30.0]
    assert decisions[BLOCK].reason == (
        "the score has been above its normal range (up to 1.20) for 10 s, "
        "42% of the evidence for an alarm"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.0], "the latest window is below the threshold (2.00)"),
        ([0.0, 3.0], "above the threshold (2.00) in 1 period of 1 s in the last 6 s"),
        ([3.0, 0.0, 3.0], "above the threshold (2.00) in 2 periods of 1 s in the last 6 s"),
    ],
)
def test_the_reason_counts_the_bouts_above_the_threshold(values: list[float], reason: str) -> None:
    alarm = configured()
    decisions = [alarm.update(score(i, value))[0] for i, value in enumerate(values)]
    assert decisions[-1].reason.endswith(reason)


def test_a_quiet_machine_is_described_by_its_normal_range() -> None:
    decision, _ = configured(RULE_WITH_RANGE).update(score(0))
    assert decision.reason == "score within its normal range (up to 1.20)"


def test_after_a_cleared_alarm_the_reason_is_not_about_a_first_window() -> None:
    alarm = configured(RULE_WITH_RANGE, WITHOUT_HOLD)
    values = [3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    reasons = [alarm.update(score(i, value))[0].reason for i, value in enumerate(values)]
    assert reasons[3:5] == [
        "no unusual sound for 1 s: score below the threshold (2.00)",
        "score within its normal range (up to 1.20)",
    ]


@pytest.mark.parametrize(
    ("value", "rule", "limit"), [(3.0, "window", THRESHOLD), (SHIFTED, "sequential", 1.2)]
)
def test_the_rule_that_holds_the_state_is_named(value: float, rule: str, limit: float) -> None:
    alarm = configured(RULE_WITH_RANGE)
    results = [alarm.update(score(i, value)) for i in range(60)]
    decisions = [decision for decision, _ in results]
    transitions = [transition for _, transition in results if transition is not None]
    assert {(d.state is State.NORMAL or d.state is State.UNKNOWN, d.rule) for d in decisions} == {
        (True, ""),
        (False, rule),
    }
    assert (transitions[-1].state, transitions[-1].rule) == (State.ALARM, rule)
    assert transitions[-1].limit == limit


def test_the_rule_is_kept_while_an_alarm_is_held_and_over_lost_audio() -> None:
    alarm = configured(RULE_WITH_RANGE)
    states(alarm, [3, 3, 3, 0])
    assert alarm.update(score(4))[0].rule == "window"
    alarm.mark_unknown("unplugged", 5.0)
    decision, _ = alarm.update(score(10))
    assert (decision.state, decision.rule) == (State.ALARM, "window")


def test_a_score_at_the_threshold_is_no_exceedance() -> None:
    assert states(configured(), [THRESHOLD] * 5) == [State.NORMAL] * 5


def test_an_alarm_clears_at_the_clearing_level_but_not_above() -> None:
    assert states(configured(), [3, 3, 3] + [CLEAR_BELOW] * 4)[-1] is State.NORMAL
    assert states(configured(), [3, 3, 3] + [CLEAR_BELOW + 1e-9] * 4)[-1] is State.ALARM


def test_odd_blocks_with_normal_ones_between_give_no_warning() -> None:
    values = ([SHIFTED] * BLOCK + [0.0] * 2 * BLOCK) * 20
    assert set(states(configured(RULE_WITH_RANGE), values)) == {State.NORMAL}


def test_an_alarm_of_a_rise_lasts_as_long_as_the_rise_and_clears_after_the_hold() -> None:
    got = states(configured(RULE_WITH_RANGE), [SHIFTED] * 300 + [0.0] * 100)
    assert got[3 * BLOCK - 1 : 300] == [State.ALARM] * (301 - 3 * BLOCK)
    back = got[300:].index(State.NORMAL)
    assert BLOCK <= back <= 6 * BLOCK
    assert got[300 + back :] == [State.NORMAL] * (100 - back)


def test_a_warning_of_a_rise_clears_after_the_hold() -> None:
    got = states(configured(RULE_WITH_RANGE), [SHIFTED] * 2 * BLOCK + [0.0] * 60)[2 * BLOCK - 1 :]
    assert set(got) == {State.WARNING, State.NORMAL}
    assert got[-1] is State.NORMAL


def test_the_reason_of_normal_again_is_that_of_the_rule_which_had_given_the_warning() -> None:
    alarm = configured(RULE_WITH_RANGE)
    values = [SHIFTED] * 2 * BLOCK + [3.0] + [0.0] * 60
    transitions = [alarm.update(score(i, value))[1] for i, value in enumerate(values)]
    warning, normal = [transition for transition in transitions if transition is not None][-2:]
    assert (warning.state, warning.rule) == (State.WARNING, "sequential")
    assert normal.state is State.NORMAL
    assert "above its normal range (up to 1.20)" in warning.reason
    assert "score within its normal range (up to 1.20)" in normal.reason
    assert "threshold" not in normal.reason


def test_a_rise_that_has_ended_is_not_said_to_continue() -> None:
    alarm = configured(RULE_WITH_RANGE)
    values = [SHIFTED] * 2 * BLOCK + [0.0] * BLOCK + [0.7] * BLOCK  # chance adds a little
    decision = [alarm.update(score(i, value))[0] for i, value in enumerate(values)][-1]
    assert decision.state is State.WARNING
    assert decision.shift_s == 20.0
    assert decision.verdict.word == "was above normal range"
    assert "was above its normal range (up to 1.20) for 20 s" in decision.verdict.sentence


def test_an_alarm_of_a_rise_continues_after_lost_audio() -> None:
    alarm = configured(RULE_WITH_RANGE)
    assert states(alarm, [SHIFTED] * 60)[-1] is State.ALARM
    alarm.mark_unknown("unplugged", 61.0)
    assert set(states(alarm, [SHIFTED] * 20, first=70)) == {State.ALARM}


def test_overlapping_windows_do_not_shorten_the_time_to_an_alarm() -> None:
    alarm = configured(RULE_WITH_RANGE)
    for start in range(0, (3 * BLOCK - 1) * WINDOW, 2):
        alarm.update(replace(score(0, SHIFTED), window_start=start))
    assert alarm.state is State.WARNING


def test_without_statistics_no_rise_is_reported() -> None:
    assert set(states(configured(), [SHIFTED] * 500)) == {State.NORMAL}


SCORES = st.lists(st.floats(0, 3), min_size=1, max_size=200)


@given(SCORES)
def test_sound_within_its_normal_range_never_gives_a_warning(values: list[float]) -> None:
    got = states(configured(RULE_WITH_RANGE), [min(value, 0.4) for value in values])
    assert set(got) == {State.NORMAL}


def first_alarm(values: list[float]) -> int:
    got = states(configured(RULE_WITH_RANGE), values)
    return got.index(State.ALARM) if State.ALARM in got else len(values)


@given(SCORES, st.lists(st.floats(0, 2), min_size=200, max_size=200))
def test_higher_scores_never_alarm_later(values: list[float], increases: list[float]) -> None:
    higher = [value + increase for value, increase in zip(values, increases, strict=False)]
    assert first_alarm(higher) <= first_alarm(values)


@given(SCORES)
def test_the_sequential_test_never_delays_an_alarm_of_windows_over_the_threshold(
    values: list[float],
) -> None:
    without_range = states(configured(), values)
    alarm_at = without_range.index(State.ALARM) if State.ALARM in without_range else len(values)
    assert first_alarm(values) <= alarm_at


EVENTS = st.one_of(
    st.floats(0, 4), st.sampled_from([Quality.SILENT, Quality.CLIPPED]), st.just("gap")
)


@given(st.lists(EVENTS, max_size=60))
def test_every_state_has_its_evidence(events: list[float | Quality | str]) -> None:
    alarm, values, transitions = configured(), [], []
    for index, event in enumerate(events):
        before = alarm.state
        if event == "gap":
            transition: Transition | None = alarm.mark_unknown("gap", float(index))
        elif isinstance(event, Quality):
            value = None if event is Quality.SILENT else 0.0
            _, transition = alarm.update(score(index, value, event))
        else:
            assert isinstance(event, float)
            values.append(event)
            _, transition = alarm.update(score(index, event))
        assert (transition is not None) == (alarm.state is not before)
        transitions += [transition] if transition else []
        if alarm.state is State.NORMAL:
            assert isinstance(event, float)
        if before is not State.ALARM and alarm.state is State.ALARM:
            assert sum(value > THRESHOLD for value in values) >= 3
    assert len({transition.transition_id for transition in transitions}) == len(transitions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"false_alarms_per_month": 0}, "greater than 0"),
        ({"false_alarms_per_month": float("nan")}, "less than or equal to 1000"),
        ({"min_duration_s": -1}, "greater than or equal to 0"),
        ({"hold_s": -1}, "greater than or equal to 0"),
        ({"holds": 1}, "Extra inputs"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlarmSettings.model_validate(changes)


QUIETEST_DBFS = -40.0
RULE_WITH_LEVELS = replace(RULE, levels=LearnedLevels(QUIETEST_DBFS, -38.0, -30.0))
LEVEL_IS_NORMAL, LEVEL_IS_LOW = -38.0, -60.0


def play(
    alarm: Alarm, windows: Iterable[tuple[float, float]], first: int = 0
) -> list[tuple[State, str]]:
    """Return state and reason after each window, given its level in dBFS and its score."""
    decisions = [
        alarm.update(replace(score(first + i, value), level_dbfs=level))[0]
        for i, (level, value) in enumerate(windows)
    ]
    return [(decision.state, decision.reason) for decision in decisions]


def states_of(alarm: Alarm, windows: Iterable[tuple[float, float]], first: int = 0) -> list[State]:
    return [state for state, _ in play(alarm, windows, first)]


def learned_levels(**settings: object) -> Alarm:
    return configured(RULE_WITH_LEVELS, SETTINGS.model_copy(update=settings))


ON, LOW, LOUD = (LEVEL_IS_NORMAL, 0.0), (LEVEL_IS_LOW, 9.0), (LEVEL_IS_NORMAL, 9.0)


def test_a_machine_that_is_switched_off_is_off_and_no_alarm() -> None:
    alarm = learned_levels()
    got = play(alarm, [ON, ON, *[LOW] * 20])
    assert [state for state, _ in got] == [State.NORMAL] * 3 + [State.OFF] * 19
    assert got[-1][1] == (
        "the machine is off: level -60 dBFS, 20 dB below the quietest sound learned (-40 dBFS)"
    )
    decision = alarm.update(replace(score(22, 9.0), level_dbfs=LEVEL_IS_LOW))[0]
    assert (decision.rule, decision.verdict.word, decision.verdict.exceeds) == (
        "off", "machine off", False,
    )  # fmt: skip


def test_a_machine_that_is_off_at_the_start_is_off() -> None:
    assert states_of(learned_levels(), [LOW] * 3) == [State.UNKNOWN, State.OFF, State.OFF]


def test_a_machine_that_starts_again_is_normal_again() -> None:
    assert states_of(learned_levels(), [ON, LOW, LOW, ON, ON])[2:] == [
        State.OFF, State.NORMAL, State.NORMAL,
    ]  # fmt: skip


def test_stopping_and_starting_raise_no_alarm() -> None:
    alarm = learned_levels()
    slowing = [(level, 9.0) for level in (-42.0, -44.0, -46.0, -48.0)]
    speeding = [(level, 9.0) for level in (-48.0, -46.0, -44.0, -42.0, -39.0)]
    got = states_of(alarm, [ON, *slowing, *[LOW] * 5, *speeding, ON, ON, ON])
    assert set(got) == {State.NORMAL, State.OFF}
    assert got[-3:] == [State.NORMAL] * 3


def test_a_fault_after_a_start_raises_the_alarm_after_the_transition() -> None:
    got = states_of(learned_levels(), [ON, LOW, LOW, *[LOUD] * 14])
    assert got[3:13] == [State.OFF] * 10
    assert got[-1] is State.ALARM


def test_a_fault_that_is_quieter_than_all_that_was_learned_raises_the_alarm() -> None:
    assert states_of(learned_levels(), [ON, *[(-48.0, 9.0)] * 5])[-1] is State.ALARM


def test_a_fault_whose_level_falls_for_long_raises_the_alarm() -> None:
    falling = [(-41.5 - 0.7 * i, 9.0) for i in range(12)]
    assert states_of(learned_levels(), [ON, *falling])[-1] is State.ALARM


def test_a_short_pause_is_not_off() -> None:
    assert states_of(learned_levels(), [ON, LOW, ON, LOW, ON]) == [State.NORMAL] * 5


def test_an_active_alarm_survives_that_the_machine_is_switched_off() -> None:
    alarm = learned_levels()
    got = play(alarm, [LOUD, LOUD, LOUD, *[LOW] * 60])
    assert {state for state, _ in got[2:]} == {State.ALARM}
    assert "the alarm from before is still active" in got[-1][1]
    repaired = states_of(alarm, [ON] * 5, first=63)
    assert repaired == [State.ALARM] * 3 + [State.NORMAL] * 2


def test_an_alarm_survives_a_gap_and_a_switched_off_machine() -> None:
    alarm = learned_levels()
    states_of(alarm, [LOUD] * 3)
    alarm.mark_unknown("audio was lost", 3.0)
    assert states_of(alarm, [LOW] * 3, first=10) == [State.UNKNOWN, State.ALARM, State.ALARM]


def test_a_machine_that_must_run_raises_the_alarm_when_it_is_off() -> None:
    got = play(learned_levels(when_off="alarm"), [ON, LOW, LOW])
    assert got[-1][0] is State.ALARM
    assert got[-1][1].startswith("the machine is off")


@pytest.mark.parametrize("level_dbfs", [-86.0, -95.0])
def test_an_input_without_a_microphone_is_unknown_and_not_off(level_dbfs: float) -> None:
    got = play(learned_levels(), [ON, *[(level_dbfs, 9.0)] * 5])
    assert {state for state, _ in got[1:]} == {State.UNKNOWN}
    assert "not connected" in got[-1][1]


def test_digital_silence_is_unknown_and_not_off() -> None:
    alarm = learned_levels()
    for index in range(3):
        decision, _ = alarm.update(replace(score(index, None, Quality.SILENT), level_dbfs=None))
    assert decision.state is State.UNKNOWN


def test_the_margin_decides_what_is_off() -> None:
    quiet = [(-52.0, 0.0)] * 3
    assert states_of(learned_levels(), quiet)[-1] is State.OFF
    assert states_of(learned_levels(off_margin_db=15.0), quiet)[-1] is State.NORMAL


def test_idling_that_was_learned_is_normal() -> None:
    rule = replace(RULE, levels=LearnedLevels(LEVEL_IS_LOW, -38.0, -30.0))
    assert (
        states_of(configured(rule), [ON, (LEVEL_IS_LOW, 0.0), (LEVEL_IS_LOW, 0.0)])
        == [State.NORMAL] * 3
    )


def test_without_learned_levels_a_machine_is_never_off() -> None:
    assert states_of(configured(), [ON, *[LOW] * 3])[-1] is State.ALARM
