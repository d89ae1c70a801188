"""An alarm continues after a restart of the monitor, with its time and its evidence."""

import pytest

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_memory import AlarmMemory
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import State
from tests.detection.test_alarm import (
    BLOCK,
    RULE,
    RULE_WITH_RANGE,
    SETTINGS,
    SHIFTED,
    configured,
    score,
    states,
)


def restarted(alarm: Alarm, rule: DecisionRule = RULE, *, is_recent: bool = True) -> Alarm:
    """Return the alarm after a restart, as it is when its first window arrives."""
    resumed = Alarm("pump", SETTINGS, "second-run")
    memory = AlarmMemory.model_validate_json(alarm.memory.model_dump_json())
    resumed.resume(memory, is_recent=is_recent)
    resumed.initial_transition(100.0)
    resumed.configure(rule, at=100.0)
    return resumed


@pytest.mark.parametrize("is_recent", [True, False])
def test_an_alarm_continues_with_its_time_id_and_reason(is_recent: bool) -> None:
    alarm = configured()
    transitions = [alarm.update(score(index, 3.0))[1] for index in range(3)]
    raised = transitions[-1]
    assert raised is not None
    assert raised.state is State.ALARM
    resumed = Alarm("pump", SETTINGS, "second-run")
    resumed.resume(alarm.memory, is_recent=is_recent)
    first = resumed.initial_transition(100.0)
    assert (first.state, first.previous) == (State.ALARM, State.ALARM)
    assert (first.captured_at, first.transition_id) == (raised.captured_at, raised.transition_id)
    assert first.reason == f"continued from before the restart: {raised.reason}"
    assert first.rule == raised.rule == "window"


def test_a_second_restart_changes_neither_time_nor_reason() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3])
    again = restarted(restarted(alarm))
    assert again.memory.standing == alarm.memory.standing


def test_quiet_time_before_a_short_restart_counts_towards_the_hold() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3, 0, 0])
    assert states(restarted(alarm), [0, 0], first=0) == [State.ALARM, State.NORMAL]
    late = restarted(alarm, is_recent=False)
    assert states(late, [0, 0, 0, 0], first=0) == [State.ALARM] * 3 + [State.NORMAL]


def test_a_held_alarm_says_that_it_is_from_before_the_restart_until_new_sound_confirms_it() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3])
    resumed = restarted(alarm, is_recent=False)
    decision, transition = resumed.update(score(0, 0.0))
    assert transition is None
    assert decision.reason == "continued from before the restart; no unusual sound for 1 s of 4 s"
    states(resumed, [3, 3, 3], first=1)
    assert "restart" not in resumed.update(score(4, 0.0))[0].reason


def test_exceedances_before_a_short_restart_count() -> None:
    alarm = configured()
    states(alarm, [3, 0, 3])
    assert states(restarted(alarm), [3]) == [State.ALARM]
    assert states(restarted(alarm, is_recent=False), [3]) == [State.UNKNOWN]


def test_the_evidence_of_a_rise_continues_over_a_short_restart() -> None:
    alarm = configured(RULE_WITH_RANGE)
    states(alarm, [SHIFTED] * 2 * BLOCK)
    assert alarm.state is State.WARNING
    lasting = restarted(alarm, RULE_WITH_RANGE)
    assert lasting.state is State.WARNING
    assert states(lasting, [SHIFTED] * BLOCK)[-1] is State.ALARM
    ended = restarted(alarm, RULE_WITH_RANGE)
    assert states(ended, [0.0] * 4 * BLOCK)[-1] is State.NORMAL
    assert ended.memory.evidence["sequential"]["values"] == [0.0]


def test_a_warning_is_not_continued_after_a_long_interruption() -> None:
    alarm = configured()
    states(alarm, [3, 3])
    assert alarm.state is State.WARNING
    assert restarted(alarm).state is State.WARNING
    assert restarted(alarm, is_recent=False).state is State.UNKNOWN


def test_an_alarm_without_sound_at_the_restart_is_active_when_sound_returns() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3])
    alarm.mark_unknown("the microphone is missing", 4.0)
    resumed = restarted(alarm)
    assert resumed.state is State.UNKNOWN
    decision, transition = resumed.update(score(0, 0.0))
    assert transition is not None
    assert decision.state is State.ALARM
    assert decision.reason == "the alarm from before the restart is still active"


def test_an_alarm_that_was_cleared_is_not_continued() -> None:
    alarm = configured()
    states(alarm, [3, 3, 3, 0, 0, 0, 0])
    assert alarm.state is State.NORMAL
    assert restarted(alarm).state is State.UNKNOWN
    assert alarm.memory.standing is None


@pytest.mark.parametrize("values", [[3, 3, 3, 0], [3, 0, 3], [0], []])
def test_evidence_of_unknown_or_changed_rules_is_ignored(values: list[float]) -> None:
    alarm = configured()
    states(alarm, values)
    memory = alarm.memory.model_copy(
        update={
            "evidence": {
                "window": {"bouts_s": 3},
                "sequential": {"values": [float("inf")], "blocks": [0]},
                "later": {"x": 1},
                "intermittent": {},
            }
        }
    )
    resumed = Alarm("pump", SETTINGS, "second-run")
    resumed.resume(memory, is_recent=True)
    resumed.configure(RULE, at=0.0)
    assert resumed.memory.standing == alarm.memory.standing
    resumed.update(score(0, 0.0))
