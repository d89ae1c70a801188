"""Events of several machines that begin at the same time name each other."""

from dataclasses import replace

from prometheus_client import CollectorRegistry

from asd_monitor.records import Record, State, Transition
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.neighbours import NEAR_S, Neighbours
from asd_monitor.telemetry.metrics import Metrics


def change(
    machine: str, at: float, state: State = State.WARNING, previous: State = State.NORMAL
) -> Transition:
    return Transition(
        machine=machine,
        transition_id=f"run-{machine}-{at:g}",
        state=state,
        previous=previous,
        reason="rise",
        captured_at=at,
        provisional=False,
        event_id=f"{machine}-event",
    )


def test_the_second_event_names_the_first_at_once() -> None:
    neighbours = Neighbours()
    assert neighbours.annotate(change("fan", 100.0)).reason == "rise"
    reason = neighbours.annotate(change("pump", 110.0)).reason
    assert reason.startswith("rise; also in the microphone of fan at the same time")


def test_the_first_event_names_the_second_once_when_it_changes() -> None:
    neighbours = Neighbours()
    neighbours.annotate(change("fan", 100.0))
    neighbours.annotate(change("pump", 110.0))
    alarm = neighbours.annotate(change("fan", 130.0, State.ALARM, State.WARNING))
    assert "microphone of pump" in alarm.reason
    end = neighbours.annotate(change("fan", 200.0, State.NORMAL, State.ALARM))
    assert end.reason == "rise"


def test_events_at_other_times_are_not_named() -> None:
    neighbours = Neighbours()
    neighbours.annotate(change("fan", 100.0))
    assert neighbours.annotate(change("pump", 101.0 + NEAR_S)).reason == "rise"


def test_an_event_that_is_continued_after_a_restart_did_not_begin_then() -> None:
    neighbours = Neighbours()
    continued = change("fan", 100.0, State.ALARM, State.ALARM)
    assert neighbours.annotate(continued).reason == "rise"
    assert neighbours.annotate(change("pump", 101.0)).reason == "rise"


def test_several_machines_are_listed() -> None:
    neighbours = Neighbours()
    for machine in ("fan", "belt"):
        neighbours.annotate(change(machine, 100.0))
    assert "microphones of belt and fan" in neighbours.annotate(change("pump", 105.0)).reason


def test_a_machine_that_the_reason_names_already_is_not_named_again() -> None:
    neighbours = Neighbours()
    neighbours.annotate(change("fan", 100.0))
    reason = "the sound is 9 dB stronger in the microphone of fan"
    second = replace(change("pump", 105.0), reason=reason)
    assert neighbours.annotate(second).reason == reason


class Recorder:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def emit(self, record: Record) -> None:
        assert isinstance(record, Transition)
        self.reasons.append(record.reason)

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_the_monitor_names_neighbours_in_what_its_sinks_receive() -> None:
    monitor, sink = Monitor(Metrics(CollectorRegistry())), Recorder()
    monitor.add_sink(sink)
    for machine in ("fan", "pump"):
        monitor.emit(change(machine, 100.0))
    assert "microphone of fan" in sink.reasons[1]
