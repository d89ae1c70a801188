"""The summary of a run reports its results, not that it has ended."""

from dataclasses import replace
from typing import Any

import pytest

from asd_monitor.records import (
    Decision,
    Quality,
    SourceHealth,
    SourceState,
    State,
    Transition,
    Verdict,
)
from asd_monitor.runtime.runs import format_summary
from asd_monitor.telemetry.status import StatusTracker
from asd_monitor.telemetry.summary import summarise
from tests.rig.records import MODEL, scored_window


def transition(at: float, previous: State, state: State, machine: str = "pump") -> Transition:
    return Transition(machine, f"{machine}-{at}", state, previous, "", at, provisional=False)


def health(state: SourceState, lost: int = 0) -> SourceHealth:
    return SourceHealth("pump", state, "", "", 0, lost, 0, 0, None)


def summary(tracker: StatusTracker, started_at: float = 0.0) -> dict[str, Any]:
    return summarise(tracker.snapshot(), started_at, mqtt_messages=7)


@pytest.fixture
def tracker() -> StatusTracker:
    return StatusTracker(["pump"])


@pytest.fixture
def recovered(tracker: StatusTracker) -> StatusTracker:
    """Raised an alarm and cleared it."""
    tracker.emit(transition(100.0, State.UNKNOWN, State.NORMAL))
    tracker.emit(transition(110.0, State.NORMAL, State.ALARM))
    tracker.emit(transition(125.5, State.ALARM, State.NORMAL))
    return tracker


def test_times_are_relative_to_the_start(recovered: StatusTracker) -> None:
    result = summary(recovered, started_at=100.0)
    assert (result["raised_at_s"], result["cleared_at_s"]) == (10.0, 25.5)
    assert result["mqtt_messages"] == 7


def test_times_of_recordings_are_relative_to_their_beginning(tracker: StatusTracker) -> None:
    tracker.emit(replace(scored_window(captured_at=402.0), is_live=False))
    tracker.emit(transition(440.0, State.NORMAL, State.ALARM))
    assert summary(tracker, started_at=900.0)["raised_at_s"] == 40.0
    assert tracker.snapshot().machines["pump"].latency_s is None


def test_an_active_alarm_is_not_cleared(recovered: StatusTracker) -> None:
    recovered.emit(transition(130.0, State.NORMAL, State.ALARM))
    result = summary(recovered, started_at=100.0)
    assert (result["raised_at_s"], result["cleared_at_s"]) == (10.0, None)
    assert result["machines"]["pump"]["alarms"] == 2


def test_an_alarm_that_continues_after_lost_audio_is_counted_once(tracker: StatusTracker) -> None:
    tracker.emit(transition(1.0, State.NORMAL, State.ALARM))
    tracker.emit(transition(2.0, State.ALARM, State.UNKNOWN))
    tracker.emit(transition(3.0, State.UNKNOWN, State.ALARM))
    assert summary(tracker)["machines"]["pump"]["alarms"] == 1


def test_an_alarm_from_before_a_restart_is_no_new_one(tracker: StatusTracker) -> None:
    tracker.emit(transition(100.0, State.ALARM, State.ALARM))
    tracker.emit(transition(1010.0, State.ALARM, State.NORMAL))
    result = summary(tracker, started_at=1000.0)
    assert result["machines"]["pump"]["alarms"] == 0
    assert "alarm raised before the start, cleared after 10 s" in "\n".join(format_summary(result))
    tracker = StatusTracker(["pump"])
    tracker.emit(transition(100.0, State.WARNING, State.WARNING))
    assert summary(tracker)["machines"]["pump"]["warnings"] == 0


def test_a_run_without_mqtt_does_not_mention_messages(tracker: StatusTracker) -> None:
    result = summarise(tracker.snapshot(), 0.0, mqtt_messages=None)
    assert "MQTT" not in "\n".join(format_summary(result))


def test_a_warning_without_an_alarm_is_reported_with_its_duration(tracker: StatusTracker) -> None:
    reason = "score above its normal range (1.37) for 64 s"
    tracker.emit(scored_window(0, captured_at=100.0))
    for second in (101.0, 145.0):
        decision = Decision(State.WARNING, reason, verdict=Verdict("above normal range", "shift"))
        tracker.emit(scored_window(1, captured_at=second, decision=decision))
        if second == 101.0:
            tracker.emit(transition(101.0, State.NORMAL, State.WARNING))
    tracker.emit(scored_window(2, captured_at=145.0, decision=Decision(State.WARNING, "quiet")))
    tracker.emit(scored_window(3, captured_at=150.0))
    tracker.emit(transition(150.0, State.WARNING, State.NORMAL))
    pump = summary(tracker)["machines"]["pump"]
    assert (pump["warnings"], pump["warning_s"], pump["warning_reason"]) == (1, 44.0, reason)
    lines = format_summary(summary(tracker))
    assert lines[1:3] == [f"  1 warning, 44 s: {reason}", "  no alarm"]


def test_the_end_of_the_run_is_not_its_result(recovered: StatusTracker) -> None:
    recovered.emit(health(SourceState.CLOSED, lost=3))
    recovered.emit(transition(140.0, State.NORMAL, State.UNKNOWN))
    assert recovered.snapshot().machines["pump"].state is State.UNKNOWN
    result = summary(recovered)
    assert result["final_state"] == "NORMAL"
    assert result["lost_samples"] == 3


def test_windows_the_highest_score_and_the_model_are_reported(tracker: StatusTracker) -> None:
    for seq in range(3):
        tracker.emit(scored_window(seq, value=float(seq)))
    tracker.emit(scored_window(3, value=None, quality=Quality.SILENT))
    pump = summary(tracker)["machines"]["pump"]
    assert (pump["windows"], pump["scored"], pump["highest_score"]) == (4, 3, 2.0)
    assert pump["model_sha256"] == MODEL.sha256


@pytest.mark.parametrize(
    ("states", "most_severe"),
    [
        ([State.NORMAL, State.ALARM, State.UNKNOWN], "ALARM"),
        ([State.NORMAL, State.UNKNOWN], "UNKNOWN"),
        ([State.NORMAL, State.NORMAL], "NORMAL"),
    ],
)
def test_the_final_state_is_the_most_severe_of_all_machines(
    states: list[State], most_severe: str
) -> None:
    tracker = StatusTracker([f"pump-{index}" for index in range(len(states))])
    for index, state in enumerate(states):
        tracker.emit(transition(1.0, State.UNKNOWN, state, f"pump-{index}"))
    assert summary(tracker)["final_state"] == most_severe
