"""Events: one for each trouble, with an id that every consumer can name."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.history.cases import TROUBLE, CaseTracker, make_event_id
from asd_monitor.records import State
from tests.rig.records import event


def assign(tracker: CaseTracker, *states: State, machine: str = "pump") -> list[str]:
    """Return the event id of each of several transitions in a row."""
    unassigned = (replace(event("t", state, machine), event_id="") for state in states)
    return [tracker.assign(transition).event_id for transition in unassigned]


def test_a_warning_the_alarm_after_it_and_its_end_are_one_event() -> None:
    ids = assign(
        CaseTracker(), State.UNKNOWN, State.NORMAL, State.WARNING, State.ALARM, State.NORMAL
    )
    assert ids[:2] == ["", ""]
    assert ids[2]
    assert ids[2:] == [ids[2]] * 3


def test_an_event_remains_open_while_there_is_no_usable_sound() -> None:
    ids = assign(
        CaseTracker(), State.ALARM, State.UNKNOWN, State.ALARM, State.NORMAL, State.WARNING
    )
    assert len(set(ids[:4])) == 1
    assert ids[4] != ids[0]


def test_learning_a_machine_again_ends_its_event() -> None:
    ids = assign(CaseTracker(), State.ALARM, State.LEARNING, State.UNKNOWN)
    assert ids[0] == ids[1]
    assert ids[2] == ""


def test_machines_have_events_of_their_own() -> None:
    tracker = CaseTracker()
    assert assign(tracker, State.ALARM) != assign(tracker, State.ALARM, machine="fan")


def test_an_event_that_an_earlier_run_left_open_continues() -> None:
    tracker = CaseTracker(lambda: {"pump": "20261130T120102-pump-3f2a"})
    assert assign(tracker, State.UNKNOWN, State.ALARM) == ["20261130T120102-pump-3f2a"] * 2


@given(st.lists(st.sampled_from(State), max_size=30))
def test_an_event_is_open_exactly_from_trouble_to_normal(states: list[State]) -> None:
    tracker, is_open = CaseTracker(), False
    for state in states:
        is_open = is_open or state in TROUBLE
        (event_id,) = assign(tracker, state)
        assert bool(event_id) == is_open
        is_open = is_open and state not in (State.NORMAL, State.LEARNING)
        assert bool(tracker.open_event("pump")) == is_open


@given(st.text(max_size=80), st.floats(0, 4e9))
def test_an_event_id_is_safe_in_a_path_and_a_url(machine: str, at_s: float) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}-[A-Za-z0-9_-]+-[0-9a-f]{4}", make_event_id(machine, at_s))


@given(st.integers(0, 4_000_000_000), st.integers(1, 10_000_000))
def test_event_ids_sort_by_time(at_s: int, later_s: int) -> None:
    assert make_event_id("pump", at_s) < make_event_id("pump", at_s + later_s)
