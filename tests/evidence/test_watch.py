"""Which sound is kept: before the first window that counted, after each change, and repeats."""

from dataclasses import replace

import pytest

from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.evidence.watch import MAX_CLIP_S, Part, Request, Watch
from asd_monitor.records import Decision, State, Transition, Verdict
from tests.rig.records import event, scored_window

RATE_HZ = 1000
WINDOW = 2 * RATE_HZ
EXCEEDS = Verdict("above threshold", "window", 2.0, "score above the threshold")


class Machine:
    """A machine that is scored each second, whose newest sound is that of the newest window."""

    def __init__(self, settings: EvidenceSettings | None = None) -> None:
        self.watch = Watch("pump", settings or EvidenceSettings(), RATE_HZ)
        self.newest = 0
        self.requests: list[Request] = []

    def score(self, seconds: int, *, counts: bool = False, shift_s: float = 0.0) -> None:
        for second in range(seconds):
            self.newest += RATE_HZ
            shift = shift_s + second if shift_s else 0.0
            verdict = EXCEEDS if counts else Verdict("normal")
            window = scored_window(value=5.0 if counts or shift_s else 0.5)
            score = replace(
                window.score,
                window_start=self.newest - WINDOW,
                captured_at=1e9 + self.newest / RATE_HZ,
            )
            decision = Decision(State.NORMAL, shift_s=shift, verdict=verdict)
            self.watch.add(replace(window, score=score, decision=decision), WINDOW)
            self.requests += self.watch.due(self.newest)

    def change(self, state: State, event_id: str = "e1", rule: str = "window") -> None:
        transition: Transition = replace(event("t", state), event_id=event_id, rule=rule)
        self.requests += self.watch.change(transition, self.newest)

    def spans(self) -> list[tuple[Part, float, float]]:
        return [(r.part, r.start / RATE_HZ, r.end / RATE_HZ) for r in self.requests]


def test_a_clip_begins_30_s_before_the_first_window_that_counted_and_ends_15_s_after() -> None:
    machine = Machine()
    machine.score(100)
    machine.score(3, counts=True)  # the first of them begins at 99 s
    machine.change(State.WARNING)
    machine.score(14)
    assert not machine.requests
    machine.score(1)
    assert machine.spans() == [(Part.OPENING, 69, 118)]
    assert [point.counts for point in machine.requests[0].points].count(True) == 3


def test_a_shift_counts_from_its_beginning() -> None:
    machine = Machine()
    machine.score(100)
    machine.score(31)
    machine.score(1, shift_s=32)
    machine.change(State.WARNING)
    machine.score(15)
    assert machine.spans() == [(Part.OPENING, 70, 147)]
    assert sum(point.counts for point in machine.requests[0].points) == pytest.approx(32, abs=2)


def test_an_alarm_soon_after_the_warning_is_in_the_same_clip() -> None:
    machine = Machine()
    machine.score(100)
    machine.score(3, counts=True)
    machine.change(State.WARNING)
    machine.score(5, counts=True)
    machine.change(State.ALARM)
    machine.score(30, counts=True)
    assert machine.spans() == [(Part.OPENING, 69, 123)]
    assert machine.requests[0].state is State.ALARM


def test_an_alarm_after_the_clip_extends_it() -> None:
    machine = Machine()
    machine.score(100)
    machine.score(3, counts=True)
    machine.change(State.WARNING)
    machine.score(20, counts=True)
    machine.change(State.ALARM)
    machine.score(15, counts=True)
    assert machine.spans() == [(Part.OPENING, 69, 118), (Part.EXTENSION, 69, 138)]


def test_an_event_that_lasts_has_a_limited_number_of_further_clips() -> None:
    machine = Machine(EvidenceSettings(repeat_minutes=1, max_repeats=3, after_s=10))
    machine.score(50)
    machine.score(2, counts=True)
    machine.change(State.WARNING)
    machine.score(600, counts=True)
    repeats = [span for span in machine.spans() if span[0] is Part.REPEAT]
    assert repeats == [(Part.REPEAT, end - 10, end) for end in (122, 182, 242)]
    assert [r.repeat for r in machine.requests if r.part is Part.REPEAT] == [1, 2, 3]


def test_a_pending_clip_is_cut_when_the_event_or_the_sound_ends() -> None:
    machine = Machine()
    machine.score(50)
    machine.score(2, counts=True)
    machine.change(State.WARNING)
    machine.score(5)
    machine.change(State.NORMAL)
    assert [r.part for r in machine.requests] == [Part.OPENING, Part.END]
    assert machine.requests[0].end == 57 * RATE_HZ
    assert machine.requests[1].closed_s is not None
    machine.score(30)
    assert len(machine.requests) == 2
    machine.change(State.WARNING, "e2")
    assert [r.event_id for r in machine.watch.flush(machine.newest)] == ["e2"]


def test_a_clip_is_never_longer_than_the_ring() -> None:
    machine = Machine(EvidenceSettings(before_s=60, after_s=30))
    machine.score(100)
    machine.score(20, counts=True)
    machine.change(State.WARNING)
    machine.score(40)
    (request,) = machine.requests
    assert request.end - request.start <= 86 * RATE_HZ


def test_changes_without_an_event_request_nothing() -> None:
    machine = Machine()
    machine.score(10)
    machine.change(State.UNKNOWN, "")
    machine.score(100)
    assert not machine.requests


def test_the_clip_of_a_state_that_was_not_learned_is_as_long_as_possible() -> None:
    machine = Machine()
    machine.score(100)
    machine.score(12, counts=True)
    machine.change(State.WARNING)
    machine.score(8)
    machine.change(State.UNKNOWN, rule="unlearned")
    machine.score(60)
    assert machine.spans() == [(Part.OPENING, 69, 69 + MAX_CLIP_S)]
