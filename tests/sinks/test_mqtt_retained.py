"""Retained states follow their reason, and their times follow the clock."""

from dataclasses import replace

import pytest

from asd_monitor.records import Decision, SourceHealth, State
from asd_monitor.sinks.mqtt.retained import RetainedMessages
from asd_monitor.sinks.payloads import MachineState
from tests.rig.records import event, health, scored_window

INTERVAL_S = 30.0
WARNING = replace(event("e", State.WARNING), captured_at=0.0)


@pytest.fixture
def retained() -> RetainedMessages:
    return RetainedMessages(INTERVAL_S)


@pytest.fixture
def warned(retained: RetainedMessages) -> RetainedMessages:
    """Retained messages, of which has published the state WARNING."""
    retained.update(WARNING, 0.0)
    assert len(next_states(retained)) == 1
    return retained


def next_states(retained: RetainedMessages) -> list[MachineState]:
    """Empty the retained and return the states in it."""
    return [item for item in iter(retained.next, None) if isinstance(item, MachineState)]


def test_the_retained_state_follows_its_reason_and_keeps_its_start(
    warned: RetainedMessages,
) -> None:
    window = scored_window(1, decision=Decision(State.WARNING, "above for 60 s"))
    warned.update(window, INTERVAL_S)
    [state] = next_states(warned)
    assert (state.state, state.reason, state.event_id) == (State.WARNING, "above for 60 s", "e")
    assert state.since == WARNING.captured_at


def test_a_reason_that_changes_with_every_window_is_published_once_an_interval(
    warned: RetainedMessages,
) -> None:
    count = 0
    for second in range(1, 121):
        decision = Decision(State.WARNING, f"above for {second} s")
        warned.update(scored_window(second, decision=decision), float(second))
        count += len(next_states(warned))
    assert count == 4


def test_the_same_reason_or_that_of_another_state_is_not_published(
    warned: RetainedMessages,
) -> None:
    same = scored_window(1, decision=Decision(State.WARNING, WARNING.reason))
    other = scored_window(2, decision=Decision(State.NORMAL, "no unusual sound for 20 s"))
    warned.update(same, 100.0)
    warned.update(other, 100.0)
    assert next_states(warned) == []


def test_the_start_of_the_monitor_is_a_retained_state_but_no_event(
    retained: RetainedMessages,
) -> None:
    start = replace(event("start", State.UNKNOWN), previous=State.UNKNOWN, event_id="")
    retained.update(start, 0.0)
    (state,) = next_states(retained)
    assert (state.state, state.event_id) == (State.UNKNOWN, None)


def test_a_state_never_begins_after_it_is_published(retained: RetainedMessages) -> None:
    retained.update(replace(WARNING, captured_at=5000.0), 1000.0)
    assert [state.since for state in next_states(retained)] == [1000.0]
    retained.update(scored_window(machine="fan", captured_at=5000.0), 1000.0)
    assert [state.since for state in next_states(retained)] == [1000.0]


def test_times_recorded_before_the_clock_was_set_are_corrected(retained: RetainedMessages) -> None:
    retained.update(replace(WARNING, captured_at=100.0), 100.0)
    retained.update(replace(health(), last_audio_at=101.0), 101.0)
    while retained.next() is not None:
        pass
    retained.shift_times(50_000.0)
    items = list(iter(retained.next, None))
    (state,) = [item for item in items if isinstance(item, MachineState)]
    (last_health,) = [item for item in items if isinstance(item, SourceHealth)]
    assert state.since == 50_100.0
    assert last_health.last_audio_at == 50_101.0


def test_an_alarm_from_before_a_restart_keeps_its_time_when_the_clock_is_set(
    retained: RetainedMessages,
) -> None:
    continued = replace(WARNING, previous=State.WARNING, captured_at=90_000.0)
    retained.update(continued, 100.0)  # by a clock that started in 1970
    retained.shift_times(100_000.0)
    assert [state.since for state in next_states(retained)] == [90_000.0]
