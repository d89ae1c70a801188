"""The words for the sensitivity of the alarm."""

import pytest

from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError
from asd_monitor.runtime.sensitivity import CUSTOM, MEANINGS, WORDS, apply_word, find_word


@pytest.mark.parametrize("word", WORDS)
def test_the_settings_of_each_word_are_recognised(word: str) -> None:
    assert find_word(AlarmSettings.model_validate(apply_word(word, {}))) == word


def test_each_word_has_a_meaning() -> None:
    assert MEANINGS.keys() == WORDS.keys()


def test_a_word_keeps_the_other_settings_of_the_alarm() -> None:
    assert apply_word("low", {"hold_s": 60.0, "false_alarms_per_month": 3.0})["hold_s"] == 60.0
    assert apply_word("medium", {"hold_s": 60.0, "false_alarms_per_month": 3.0}) == {"hold_s": 60.0}


def test_a_higher_sensitivity_raises_more_alarms() -> None:
    settings = [AlarmSettings.model_validate(apply_word(word, {})) for word in WORDS]
    rates = [each.false_alarms_per_month for each in settings]
    assert rates == sorted(set(rates))


def test_other_settings_have_no_word() -> None:
    assert find_word(AlarmSettings(false_alarms_per_month=3.0)) == CUSTOM


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of low, medium, high, found 'highest'"):
        apply_word("highest", {})
