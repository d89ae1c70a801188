"""A passing sound raises no alarm by itself, and hides no fault that lasts or returns."""

from dataclasses import replace

import pytest

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings, TransientAction
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.passing.bouts import MAX_BOUT_S, MAX_ELSEWHERE_S, MAX_IMPACT_BOUTS
from asd_monitor.records import Decision, PassingSound, State, WindowScore
from tests.rig.records import SCORE

WINDOW, RATE_HZ, WINDOW_S = 32_000, 16_000, 2
RULE = DecisionRule(
    target="pump",
    threshold=4.0,
    clear_below=2.0,
    normal_range=None,
    provisional=False,
    window_samples=WINDOW,
    sample_rate_hz=RATE_HZ,
)
SPEECH, IMPACT = PassingSound.SPEECH, PassingSound.IMPACT


class Played:
    """An alarm and its windows."""

    def __init__(self, transients: TransientAction = "ignore") -> None:
        self.alarm = Alarm("pump", AlarmSettings(transients=transients), "run")
        self.alarm.configure(RULE, at=0.0)
        self.count = 0
        self.quiet(10)

    def add(
        self, seconds: int, value: float, passing: PassingSound | None = None, elsewhere: str = ""
    ) -> list[Decision]:
        decisions = []
        for _ in range(seconds // WINDOW_S):
            score = replace(self._score(value), passing=passing, elsewhere=elsewhere)
            decisions.append(self.alarm.update(score)[0])
        return decisions

    def _score(self, value: float) -> WindowScore:
        start, self.count = self.count * WINDOW, self.count + 1
        p_value = 0.001 if value > 4.0 else 0.5
        return replace(SCORE, window_start=start, value=value, p_value=p_value, threshold=4.0)

    def quiet(self, seconds: int) -> list[Decision]:
        return self.add(seconds, 1.0)


def states(decisions: list[Decision]) -> set[State]:
    return {decision.state for decision in decisions}


def test_speech_gives_a_warning_that_says_what_it_is_and_no_alarm() -> None:
    played = Played()
    decisions = played.add(40, 9.0, SPEECH)
    assert states(decisions) == {State.NORMAL, State.WARNING}
    last = decisions[-1]
    assert last.rule == "passing"
    assert last.passing is SPEECH
    assert last.reason == "speech-like sound for 40 s: not counted as a fault of the machine"
    after = played.quiet(60)
    assert State.ALARM not in states(after)
    assert after[-1].state is State.NORMAL
    assert after[-1].passing is None


def test_speech_that_is_counted_raises_the_alarm() -> None:
    assert State.ALARM in states(Played("count").add(40, 9.0, SPEECH))


def test_pauses_of_speech_do_not_end_it() -> None:
    played = Played()
    for _ in range(4):
        assert State.ALARM not in states(played.add(6, 9.0, SPEECH) + played.quiet(4))


def test_speech_without_end_raises_the_alarm_with_all_its_evidence() -> None:
    decisions = Played().add(80, 9.0, SPEECH)
    alarms = [i * WINDOW_S for i, each in enumerate(decisions) if each.state is State.ALARM]
    assert alarms[0] == MAX_BOUT_S


def test_a_fault_that_follows_speech_raises_the_alarm_with_the_evidence_of_both() -> None:
    played = Played()
    played.add(20, 9.0, SPEECH)
    decisions = played.add(12, 9.0)
    assert State.ALARM in states(decisions)


def test_speech_again_and_again_counts() -> None:
    played = Played()
    found = [states(played.add(30, 9.0, SPEECH) + played.quiet(30)) for _ in range(6)]
    assert State.ALARM not in found[0] | found[1] | found[2]
    assert State.ALARM in found[4] | found[5]


def test_speech_during_an_alarm_does_not_clear_it() -> None:
    played = Played()
    assert State.ALARM in states(played.add(40, 9.0))
    assert states(played.add(40, 9.0, SPEECH)) == {State.ALARM}
    assert played.quiet(30)[-1].state is State.NORMAL


def test_impacts_at_a_rhythm_count_after_the_first_ones() -> None:
    played = Played()
    alarm = None
    for click in range(MAX_IMPACT_BOUTS + 6):
        decisions = played.add(2, 9.0, IMPACT) + played.quiet(18)
        if State.ALARM in states(decisions):
            alarm = click
            break
    assert alarm is not None
    assert alarm <= MAX_IMPACT_BOUTS + 1


@pytest.mark.parametrize("passing", [SPEECH, IMPACT])
def test_lost_sound_ends_a_bout(passing: PassingSound) -> None:
    played = Played()
    played.add(6, 9.0, passing)
    played.alarm.mark_unknown("audio was lost", 0.0)
    assert played.quiet(10)[-1].state is State.NORMAL


def test_a_sound_from_elsewhere_is_named_and_alarms_where_it_lasts() -> None:
    decisions = Played().add(360, 9.0, elsewhere="9 dB stronger in the microphone of fan")
    before = decisions[: int(MAX_ELSEWHERE_S) // WINDOW_S]
    assert states(before) == {State.NORMAL, State.WARNING}
    assert before[-1].passing is PassingSound.ELSEWHERE
    assert before[-1].reason == (
        "the sound is 9 dB stronger in the microphone of fan: no alarm here within 5 min"
    )
    assert decisions[-1].state is State.ALARM
