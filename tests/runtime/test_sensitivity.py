"""The words for the sensitivity of the alarm."""

import pytest

from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError
from asd_monitor.runtime.sensitivity import CUSTOM, WORDS, apply_word, find_word


@pytest.mark.parametrize("word", WORDS)
def test_the_settings_of_each_word_are_recognised(word: str) -> None:
    assert find_word(AlarmSettings.model_validate(apply_word(word, {}))) == word


def test_a_word_keeps_the_other_settings_of_the_alarm() -> None:
    assert apply_word("low", {"hold_s": 60.0, "p_raise": 0.01})["hold_s"] == 60.0
    assert apply_word("medium", {"hold_s": 60.0, "p_raise": 0.01}) == {"hold_s": 60.0}


def test_a_higher_sensitivity_raises_more_alarms() -> None:
    chances = [AlarmSettings.model_validate(apply_word(word, {})).p_raise for word in WORDS]
    assert chances == sorted(set(chances))


def test_other_settings_have_no_word() -> None:
    assert find_word(AlarmSettings(p_raise=0.0023)) == CUSTOM


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of low, medium, high, found 'highest'"):
        apply_word("highest", {})
