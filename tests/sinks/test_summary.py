"""A run's summary says what was seen, not that it has ended."""

import pytest

from asd_monitor.records import Quality, SourceHealth, SourceState, State, Transition
from asd_monitor.sinks.summary import SummarySink
from tests.rig.records import scored_window


def change(at: float, previous: State, state: State, machine: str = "pump") -> Transition:
    return Transition(machine, f"{machine}-{at}", state, previous, "", at, provisional=False)


def health(state: SourceState, lost: int = 0) -> SourceHealth:
    return SourceHealth("pump", state, "", "", 0, lost, 0, 0, None)


def raised_and_cleared() -> SummarySink:
    sink = SummarySink()
    sink.emit(change(100.0, State.UNKNOWN, State.NORMAL))
    sink.emit(change(110.0, State.NORMAL, State.ALARM))
    sink.emit(change(125.5, State.ALARM, State.NORMAL))
    return sink


def test_times_are_relative_to_the_start() -> None:
    result = raised_and_cleared().to_json(100.0, 7)
    assert (result["raised_at_s"], result["cleared_at_s"]) == (10.0, 25.5)
    assert result["mqtt_messages"] == 7


def test_a_standing_alarm_is_not_cleared() -> None:
    sink = raised_and_cleared()
    sink.emit(change(130.0, State.NORMAL, State.ALARM))
    result = sink.to_json(100.0, 0)
    assert (result["raised_at_s"], result["cleared_at_s"]) == (10.0, None)
    assert result["machines"]["pump"]["alarms"] == 2


def test_an_alarm_that_outlives_lost_audio_is_counted_once() -> None:
    sink = SummarySink()
    sink.emit(change(1.0, State.NORMAL, State.ALARM))
    sink.emit(change(2.0, State.ALARM, State.UNKNOWN))
    sink.emit(change(3.0, State.UNKNOWN, State.ALARM))
    assert sink.to_json(0.0, 0)["machines"]["pump"]["alarms"] == 1


def test_the_end_of_the_run_is_not_its_result() -> None:
    sink = raised_and_cleared()
    sink.emit(health(SourceState.CLOSED, lost=3))
    sink.emit(change(140.0, State.NORMAL, State.UNKNOWN))
    result = sink.to_json(100.0, 0)
    assert result["final_state"] == "NORMAL"
    assert result["lost_frames"] == 3


def test_windows_and_the_highest_score_are_kept() -> None:
    sink = SummarySink()
    for seq in range(3):
        sink.emit(scored_window(seq, value=float(seq)))
    sink.emit(scored_window(3, value=None, quality=Quality.SILENT))
    pump = sink.to_json(0.0, 0)["machines"]["pump"]
    assert (pump["windows"], pump["scored"], pump["highest_score"]) == (4, 3, 2.0)


@pytest.mark.parametrize(
    ("states", "gravest"),
    [
        ([State.NORMAL, State.ALARM, State.UNKNOWN], "ALARM"),
        ([State.NORMAL, State.UNKNOWN], "UNKNOWN"),
        ([State.NORMAL, State.NORMAL], "NORMAL"),
    ],
)
def test_the_gravest_state_of_all_machines_is_the_final_one(
    states: list[State], gravest: str
) -> None:
    sink = SummarySink()
    for index, state in enumerate(states):
        sink.emit(change(1.0, State.UNKNOWN, state, f"pump-{index}"))
    assert sink.to_json(0.0, 0)["final_state"] == gravest
