"""Notifications: one an event, repeated until acknowledged, silent when they should be."""

import time
from dataclasses import replace

import pytest

from asd_monitor.records import (
    AlarmStatus,
    EvidenceReady,
    MachineAlarm,
    SourceState,
    State,
    Transition,
)
from asd_monitor.sinks.notify.message import compose
from asd_monitor.sinks.notify.plan import Notice, Plan
from asd_monitor.sinks.notify.settings import Kind, NotifySettings
from tests.rig.records import event, health

NOON_S = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))
MINUTE_S = 60.0


class Course:
    """A plan, and a clock that a test moves."""

    def __init__(self, **settings: object) -> None:
        self.suppressed = 0
        options = {"to": ["json://x"], "picture_wait_s": 0} | settings
        self.plan = Plan(NotifySettings.model_validate(options), self._count)
        self.now = NOON_S
        self.state = State.NORMAL

    def _count(self) -> None:
        self.suppressed += 1

    def change(self, state: State, event_id: str = "e1", *, previous: State | None = None) -> None:
        """Change the state of the pump."""
        before = self.state if previous is None else previous
        transition = replace(
            event("t", state), previous=before, event_id=event_id, captured_at=self.now,
            reason=f"reason of {state}",
        )  # fmt: skip
        self.state = state
        self.plan.add(transition, self.now)

    def alarm(self, status: AlarmStatus, event_id: str = "e1") -> None:
        self.plan.add(MachineAlarm("pump", status, self.now, event_id), self.now)

    def source(self, state: SourceState) -> None:
        self.plan.add(replace(health(), state=state, reason="unplugged"), self.now)

    def evidence(self, event_id: str = "e1") -> None:
        ready = EvidenceReady("pump", event_id, self.now, "louder at 250 Hz", picture="/p.png")
        self.plan.add(ready, self.now)

    def after(self, minutes: float) -> list[Notice]:
        """Return what is sent within this time, which is looked at each second."""
        notices = []
        for _ in range(round(minutes * MINUTE_S)):
            self.now += 1
            notices += self.plan.due(self.now)
        return notices

    def kinds(self, minutes: float = 0.1) -> list[str]:
        return [notice.kind for notice in self.after(minutes)]


def test_an_event_is_one_notification_and_its_end_another() -> None:
    course = Course()
    course.change(State.WARNING)  # not among the events by default
    assert course.kinds() == []
    course.change(State.ALARM)
    assert course.kinds(5) == ["alarm"]
    course.change(State.UNKNOWN)
    course.change(State.ALARM)
    assert course.kinds(5) == []
    course.change(State.NORMAL)
    assert course.kinds(5) == ["cleared"]


def test_an_alarm_after_a_warning_is_notified_at_once_despite_the_cool_down() -> None:
    course = Course(events=["warning", "alarm"])
    course.change(State.WARNING)
    assert course.kinds() == ["warning"]
    course.change(State.ALARM)
    assert course.kinds() == ["alarm"]
    course.change(State.WARNING)  # less severe again
    assert course.kinds() == []


def test_a_warning_that_becomes_an_alarm_before_it_is_sent_is_one_notification() -> None:
    course = Course(events=["warning", "alarm"], picture_wait_s=30)
    course.change(State.WARNING)
    course.after(0.2)
    course.change(State.ALARM)
    assert course.kinds(5) == ["alarm"]


def test_a_notification_waits_for_the_picture_but_not_for_ever() -> None:
    course = Course(picture_wait_s=30)
    course.change(State.ALARM)
    assert course.kinds(0.25) == []
    course.evidence()
    (notice,) = course.after(0.05)
    assert (notice.headline, notice.picture) == ("louder at 250 Hz", "/p.png")
    course.change(State.NORMAL)
    course.after(60)
    course.change(State.ALARM, "e2")
    course.evidence("e1")  # of the earlier event
    assert course.after(0.4) == []
    (notice,) = course.after(0.2)
    assert (notice.event_id, notice.headline) == ("e2", "")


def test_it_is_repeated_until_someone_acknowledges() -> None:
    course = Course(repeat_minutes=60)
    course.change(State.ALARM)
    assert [notice.repeats for notice in course.after(150)] == [0, 1, 2]
    course.alarm(AlarmStatus.ACKNOWLEDGED)
    assert course.after(180) == []
    course.change(State.NORMAL)
    assert course.kinds() == ["cleared"]


def test_without_an_interval_nothing_is_repeated() -> None:
    course = Course(repeat_minutes=None)
    course.change(State.ALARM)
    assert course.kinds(24 * 60) == ["alarm"]


def test_events_in_the_cool_down_are_counted_in_the_next_notification() -> None:
    course = Course(cooldown_minutes=15, events=["alarm"])
    for number in range(4):
        course.change(State.ALARM, f"e{number}")
        assert len(course.after(2)) == (number == 0)
        course.change(State.NORMAL, f"e{number}")
        course.after(1)
    assert course.suppressed == 3
    course.after(20)
    course.change(State.ALARM, "later")
    (notice,) = course.after(0.1)
    assert notice.others == 3
    assert "3 more events" in compose(notice, course.now).body


def test_an_event_that_outlasts_the_cool_down_is_notified_after_it() -> None:
    course = Course(cooldown_minutes=15)
    course.change(State.ALARM)
    course.after(1)
    course.change(State.NORMAL)
    assert course.kinds(1) == ["cleared"]
    course.change(State.ALARM, "e2")
    assert course.kinds(12) == []
    assert course.kinds(2) == ["alarm"]


def test_the_cool_down_of_one_machine_does_not_concern_another() -> None:
    course = Course()
    course.change(State.ALARM)
    assert course.kinds() == ["alarm"]
    other = replace(event("t", State.ALARM, "fan"), event_id="f1", captured_at=course.now)
    course.plan.add(other, course.now)
    assert [notice.machine for notice in course.after(0.1)] == ["fan"]


@pytest.mark.parametrize("status", [AlarmStatus.SHELVED, AlarmStatus.MAINTENANCE])
def test_a_shelved_machine_is_silent_until_the_shelf_ends(status: AlarmStatus) -> None:
    course = Course()
    course.alarm(status)
    course.change(State.ALARM)
    course.change(State.NORMAL)
    course.change(State.ALARM, "e2")
    course.source(SourceState.MISSING)
    assert course.after(120) == []
    assert course.suppressed == 1  # the first has come and gone
    course.source(SourceState.RUNNING)
    course.alarm(AlarmStatus.UNACKNOWLEDGED, "e2")
    (notice,) = course.after(1)
    assert (notice.event_id, notice.others) == ("e2", 1)


def test_in_the_quiet_hours_notifications_wait_for_their_end() -> None:
    course = Course(quiet_hours="22:00-06:00", repeat_minutes=30)
    course.now += 11 * 3600  # 23:00
    course.change(State.ALARM)
    course.after(5)
    course.change(State.NORMAL)
    assert course.after(6 * 60 + 50) == []  # 05:55
    (notice,) = course.after(10)
    assert notice.ended_s is not None
    assert "normal again" in compose(notice, course.now).body


def test_urgent_kinds_are_sent_in_the_quiet_hours() -> None:
    course = Course(quiet_hours="11:00-13:00", urgent=["alarm"])
    course.change(State.ALARM)
    assert course.kinds() == ["alarm"]
    course.change(State.NORMAL)
    assert course.kinds(5) == []
    assert course.kinds(60) == ["cleared"]


def test_sound_is_lost_after_a_minute_and_its_return_is_notified_once() -> None:
    course = Course()
    course.source(SourceState.RUNNING)
    course.source(SourceState.MISSING)
    course.after(0.5)
    course.source(SourceState.RUNNING)
    assert course.kinds(5) == []  # a short interruption
    course.source(SourceState.MISSING)
    assert course.kinds(10) == ["lost"]
    course.source(SourceState.RUNNING)
    assert course.kinds(10) == ["recovered"]
    course.source(SourceState.CLOSED)  # the monitor stops
    assert course.kinds(10) == []


def test_an_alarm_from_before_a_restart_is_not_notified_as_new() -> None:
    course = Course(repeat_minutes=60)
    course.change(State.ALARM, previous=State.ALARM)
    assert course.after(59) == []
    assert [notice.repeats for notice in course.after(2)] == [1]
    course.change(State.NORMAL)
    assert course.kinds() == ["cleared"]


def test_an_alarm_that_is_over_before_it_is_sent_says_so_in_one_message() -> None:
    course = Course(picture_wait_s=30)
    course.change(State.ALARM)
    course.after(0.2)
    course.change(State.NORMAL)
    (notice,) = course.after(5)
    assert notice.kind is Kind.ALARM
    assert "It is normal again." in compose(notice, course.now).body


def test_a_message_has_name_reason_time_and_link() -> None:
    notice = Notice(Kind.ALARM, "pump", NOON_S, "3 of 5 windows are over", "e1", "louder at 250 Hz")
    message = compose(notice, NOON_S + 5, {"pump": "Feed pump 2"}, "https://m.example.com/")
    assert message.title == "ALARM: Feed pump 2"
    assert message.body.splitlines() == [
        "Louder at 250 Hz.",
        "3 of 5 windows are over.",
        "Since 12:00.",
        "https://m.example.com/events/e1",
    ]
    repeated = compose(replace(notice, repeats=2), NOON_S + 5)
    assert repeated.title == "Still not acknowledged, alarm: pump"


def test_the_initial_state_is_no_event() -> None:
    course = Course()
    course.plan.add(
        Transition("pump", "t", State.UNKNOWN, State.UNKNOWN, "started", course.now, False),
        course.now,
    )
    assert course.after(5) == []
