"""What waits for the broker: retained states follow their reason, but never flood it."""

from asd_monitor.records import Decision, State
from asd_monitor.sinks.mqtt.outbox import Outbox
from asd_monitor.sinks.payloads import MachineState
from tests.rig.records import event, scored_window

INTERVAL_S = 30.0
WARNED = event("e", State.WARNING)


def told(outbox: Outbox) -> list[MachineState]:
    """Return the states that wait; nothing waits afterwards."""
    found = []
    while (item := outbox.next()) is not None:
        if isinstance(item, MachineState):
            found.append(item)
    return found


def warned() -> Outbox:
    outbox = Outbox(10, 10, INTERVAL_S)
    outbox.take(WARNED, 0.0)
    assert len(told(outbox)) == 1
    return outbox


def test_the_retained_state_follows_its_reason_and_stays_as_old_as_it_is() -> None:
    outbox = warned()
    since = scored_window(1, decision=Decision(State.WARNING, "for 60 s"))
    outbox.take(since, INTERVAL_S)
    [state] = told(outbox)
    assert (state.state, state.reason, state.event_id) == (State.WARNING, "for 60 s", "e")
    assert state.since == WARNED.captured_at


def test_a_reason_that_changes_with_every_window_is_told_once_an_interval() -> None:
    outbox, count = warned(), 0
    for second in range(1, 121):
        reason = f"for {second} s"
        outbox.take(scored_window(second, decision=Decision(State.WARNING, reason)), float(second))
        count += len(told(outbox))
    assert count == 4


def test_the_same_reason_or_that_of_another_state_is_not_told() -> None:
    outbox = warned()
    outbox.take(scored_window(1, decision=Decision(State.WARNING, WARNED.reason)), 100.0)
    outbox.take(scored_window(2, decision=Decision(State.NORMAL, "quiet for 20 s")), 100.0)
    assert told(outbox) == []
