"""Which alarms are false, which faults are detected, and how time is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.records import State
from asd_offline.timeline.labels import Span
from asd_offline.timeline.metrics import Rate, TimelineMetrics
from asd_offline.timeline.outcome import Outcome, StreamOutcome, evaluate_stream
from asd_offline.timeline.trace import StatePeriod, Trace

FAULT = Span(100, 200, "hiss")


def outcome_of(states: dict[float, State], *spans: Span, duration_s: float = 600) -> StreamOutcome:
    """Evaluate a stream that enters each state at the given time."""
    starts = [*states, duration_s]
    periods = tuple(
        StatePeriod(start, end, state, "window" if state is State.ALARM else "", "", 1.0)
        for (start, state), end in zip(states.items(), starts[1:], strict=True)
    )
    return evaluate_stream("pump", "day", Trace(duration_s, periods), spans)


def alarm_from(start_s: float, end_s: float) -> dict[float, State]:
    return {0: State.NORMAL, start_s: State.ALARM, end_s: State.NORMAL}


def outcomes(stream: StreamOutcome) -> list[Outcome]:
    return [alarm.outcome for alarm in stream.alarms]


def test_an_alarm_in_normal_sound_is_false() -> None:
    stream = outcome_of(alarm_from(50, 70), FAULT)
    assert outcomes(stream) == [Outcome.FALSE]
    assert stream.faults[0].delay_s is None
    assert stream.false_alarm_s == 20


def test_an_alarm_in_a_fault_that_outlasts_it_is_a_detection_and_not_false() -> None:
    stream = outcome_of(alarm_from(130, 500), FAULT)
    assert outcomes(stream) == [Outcome.DETECTION]
    assert (stream.faults[0].delay_s, stream.faults[0].rule) == (30, "window")
    assert stream.false_alarm_s == 0


def test_an_alarm_just_after_a_fault_is_due_to_it_but_not_a_later_one() -> None:
    assert outcomes(outcome_of(alarm_from(225, 300), FAULT)) == [Outcome.DETECTION]
    assert outcomes(outcome_of(alarm_from(231, 300), FAULT)) == [Outcome.FALSE]


def test_an_alarm_active_when_a_fault_begins_does_not_detect_it() -> None:
    stream = outcome_of(alarm_from(90, 300), FAULT)
    assert outcomes(stream) == [Outcome.FALSE]
    assert (stream.faults[0].delay_s, stream.faults[0].is_masked) == (None, True)


def test_a_masked_fault_is_detected_by_an_alarm_that_is_raised_after_the_earlier_one_cleared() -> (
    None
):
    states = alarm_from(90, 110) | {140: State.ALARM, 180: State.NORMAL}
    stream = outcome_of(states, FAULT)
    assert outcomes(stream) == [Outcome.FALSE, Outcome.DETECTION]
    assert (stream.faults[0].delay_s, stream.faults[0].is_masked) == (40, False)


def test_an_alarm_held_across_two_faults_detects_the_first_only() -> None:
    stream = outcome_of(alarm_from(110, 400), FAULT, Span(300, 350, "rub"))
    assert outcomes(stream) == [Outcome.DETECTION]
    assert [fault.delay_s for fault in stream.faults] == [10, None]
    assert [fault.is_masked for fault in stream.faults] == [False, True]


def test_a_second_alarm_in_the_same_fault_is_neither_false_nor_another_detection() -> None:
    states = alarm_from(110, 130) | {150: State.ALARM, 190: State.NORMAL}
    assert outcomes(outcome_of(states, FAULT)) == [Outcome.DETECTION, Outcome.REPEATED]


def test_an_alarm_that_continues_after_lost_audio_is_one_alarm() -> None:
    states = {0.0: State.NORMAL, 300: State.ALARM, 320: State.UNKNOWN, 340: State.ALARM}
    stream = outcome_of(states)
    assert outcomes(stream) == [Outcome.FALSE]
    assert stream.alarms[0].cleared_s is None


def test_an_alarm_in_an_ignored_part_is_not_evaluated() -> None:
    stream = outcome_of(alarm_from(110, 130), Span(100, 200, "ignore"))
    assert outcomes(stream) == [Outcome.IGNORED]
    assert (stream.faults, stream.ignored_s) == ((), 100)


def test_a_warning_counts_as_false_only_where_it_begins_in_normal_sound() -> None:
    states = {0.0: State.NORMAL, 50: State.WARNING, 60: State.NORMAL, 150: State.WARNING}
    stream = outcome_of(states | {250: State.NORMAL}, FAULT)
    assert (stream.false_warnings, stream.false_alarms) == (1, ())


@given(
    st.lists(st.tuples(st.integers(1, 599), st.sampled_from(list(State))), min_size=1),
    st.tuples(st.integers(0, 200), st.integers(201, 599)),
)
def test_the_parts_of_a_stream_add_up_to_its_length(
    changes: list[tuple[int, State]], span: tuple[int, int]
) -> None:
    states = {0.0: State.UNKNOWN} | {float(at): state for at, state in sorted(changes)}
    stream = outcome_of(states, Span(*span, "hiss"))
    parts = (stream.normal_s, stream.off_s, stream.unknown_s, stream.fault_s, stream.ignored_s)
    assert sum(parts) == pytest.approx(stream.duration_s)


def test_the_interval_of_the_rate_is_that_of_published_tables() -> None:
    # Garwood (1936): 0 events 0 to 3.69, 5 events 1.62 to 11.67.
    none, five = Rate.from_count(0, 1), Rate.from_count(5, 1)
    assert (none.low, round(none.high or 0, 2)) == (0, 3.69)
    assert (round(five.low or 0, 2), round(five.high or 0, 2)) == (1.62, 11.67)
    assert Rate.from_count(0, 0) == Rate(None, None, None)


def test_detections_within_limits_and_rules_are_counted_over_all_streams() -> None:
    early = outcome_of(alarm_from(110, 130), FAULT)
    late = outcome_of(alarm_from(190, 210), FAULT)
    false = outcome_of(alarm_from(400, 410), FAULT)
    result = TimelineMetrics((early, late, false)).to_dict()
    assert (result["faults"], result["detected"], result["detected_within_60_s"]) == (3, 2, 1)
    assert (result["detected_within_300_s"], result["median_delay_s"]) == (2, 50)
    assert result["by_rule"] == {"window": {"false_alarms": 1, "detected": 2}}
    assert result["normal_h"] == pytest.approx(3 * 500 / 3600)
    assert result["false_alarms_per_week"]["value"] == pytest.approx(168 * 3600 / 1500)
