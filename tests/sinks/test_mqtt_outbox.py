"""The queues for the broker: their order, and retained states that follow their reason."""

from dataclasses import replace

import pytest

from asd_monitor.records import Decision, ScoredWindow, SourceHealth, State, Transition
from asd_monitor.sinks.mqtt.outbox import Kind, Message, Outbox, to_message
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import MachineState
from tests.rig.records import event, health, scored_window

INTERVAL_S = 30.0
WARNING = replace(event("e", State.WARNING), captured_at=0.0)
TOPICS = Topics("asd", "plant")


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(10, 10, INTERVAL_S)


@pytest.fixture
def warned(outbox: Outbox) -> Outbox:
    """An outbox that has published the state WARNING."""
    outbox.enqueue(WARNING, 0.0)
    assert len(next_states(outbox)) == 1
    return outbox


def next_states(outbox: Outbox) -> list[MachineState]:
    """Empty the outbox and return the states in it."""
    return [item for item in iter(outbox.next, None) if isinstance(item, MachineState)]


def message(event_id: str, kind: Kind = "event") -> Message:
    return replace(to_message(event(event_id), TOPICS, 1, 0.0), kind=kind)


def test_retained_messages_go_first_then_unacknowledged_ones_then_events_then_scores(
    outbox: Outbox,
) -> None:
    window, new_event, last_health = scored_window(), event("new"), health()
    sent = [message("sent first"), message("sent second", "score")]
    outbox.connect()
    outbox.disconnect(sent)
    outbox.connect()
    for record in (window, new_event, last_health):
        outbox.enqueue(record, 0.0)
    items = list(iter(outbox.next, None))
    retained, others = items[:-4], items[-4:]
    assert others == [*sent, new_event, window]
    assert last_health in retained
    assert not any(isinstance(item, Message) for item in retained)


def test_messages_left_by_two_connections_keep_their_order(outbox: Outbox) -> None:
    first, second, third = message("1"), message("2"), message("3")
    outbox.disconnect([first, second, third])
    assert outbox.next() == first
    outbox.disconnect([first])
    assert list(iter(outbox.next, None)) == [first, second, third]


def test_unacknowledged_retained_messages_are_not_sent_again(outbox: Outbox) -> None:
    outbox.disconnect([message("old", "retained")])
    assert outbox.next() is None


def test_a_lost_connection_drops_scores_and_keeps_events(outbox: Outbox) -> None:
    outbox.connect()
    for seq in range(3):
        outbox.enqueue(scored_window(seq), 0.0)
    outbox.enqueue(event("kept"), 0.0)
    assert outbox.disconnect([]) == 3
    assert outbox.clear() == (0, 1)


def test_the_retained_state_follows_its_reason_and_keeps_its_start(warned: Outbox) -> None:
    window = scored_window(1, decision=Decision(State.WARNING, "above for 60 s"))
    warned.enqueue(window, INTERVAL_S)
    [state] = next_states(warned)
    assert (state.state, state.reason, state.event_id) == (State.WARNING, "above for 60 s", "e")
    assert state.since == WARNING.captured_at


def test_a_reason_that_changes_with_every_window_is_published_once_an_interval(
    warned: Outbox,
) -> None:
    count = 0
    for second in range(1, 121):
        decision = Decision(State.WARNING, f"above for {second} s")
        warned.enqueue(scored_window(second, decision=decision), float(second))
        count += len(next_states(warned))
    assert count == 4


def test_the_same_reason_or_that_of_another_state_is_not_published(warned: Outbox) -> None:
    same = scored_window(1, decision=Decision(State.WARNING, WARNING.reason))
    other = scored_window(2, decision=Decision(State.NORMAL, "quiet for 20 s"))
    warned.enqueue(same, 100.0)
    warned.enqueue(other, 100.0)
    assert next_states(warned) == []


def test_the_start_of_the_monitor_is_a_retained_state_but_no_event(outbox: Outbox) -> None:
    start = replace(event("start", State.UNKNOWN), previous=State.UNKNOWN, event_id="")
    outbox.enqueue(start, 0.0)
    (state,) = next_states(outbox)
    assert (state.state, state.event_id) == (State.UNKNOWN, None)
    assert not outbox.events


def test_a_state_never_begins_after_it_is_published(outbox: Outbox) -> None:
    outbox.enqueue(replace(WARNING, captured_at=5000.0), 1000.0)
    assert [state.since for state in next_states(outbox)] == [1000.0]
    outbox.enqueue(scored_window(machine="fan", captured_at=5000.0), 1000.0)
    assert [state.since for state in next_states(outbox)] == [1000.0]


def test_times_recorded_before_the_clock_was_set_are_corrected(outbox: Outbox) -> None:
    outbox.connect()
    outbox.enqueue(replace(WARNING, captured_at=100.0), 100.0)
    outbox.enqueue(replace(health(), last_audio_at=101.0), 101.0)
    outbox.enqueue(scored_window(captured_at=101.0), 101.0)
    while outbox.next() is not None:
        pass
    outbox.enqueue(replace(event("waiting"), captured_at=102.0), 102.0)
    outbox.enqueue(scored_window(captured_at=103.0), 103.0)
    outbox.shift_times(50_000.0)
    items = list(iter(outbox.next, None))
    (state,) = [item for item in items if isinstance(item, MachineState)]
    (last_health,) = [item for item in items if isinstance(item, SourceHealth)]
    (late_event,) = [item for item in items if isinstance(item, Transition)]
    (window,) = [item for item in items if isinstance(item, ScoredWindow)]
    assert state.since == 50_102.0
    assert last_health.last_audio_at == 50_101.0
    assert late_event.captured_at == 50_102.0
    assert window.score.captured_at == 50_103.0


def test_an_alarm_from_before_a_restart_keeps_its_time_when_the_clock_is_set(
    outbox: Outbox,
) -> None:
    continued = replace(WARNING, previous=State.WARNING, captured_at=90_000.0)
    outbox.enqueue(continued, 100.0)  # by a clock that started in 1970
    outbox.shift_times(100_000.0)
    assert [state.since for state in next_states(outbox)] == [90_000.0]
    assert not outbox.events
