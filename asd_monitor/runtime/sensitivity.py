"""The sensitivity of the alarm in a word; the only place that maps words to its settings."""

from collections.abc import Mapping
from typing import Any

from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError

WORDS: dict[str, dict[str, float]] = {
    "low": {"false_alarms_per_month": 0.1},
    "medium": {},
    "high": {"false_alarms_per_month": 10.0},
}
"""Settings of each word; those of ``medium`` are the defaults."""
MEANINGS = {
    "low": "About one false alarm in ten months of each machine. Small faults are found later.",
    "medium": "About one false alarm a month of each machine.",
    "high": "About ten false alarms a month of each machine. Small faults are found earlier.",
}
"""What each word means, for people."""
CUSTOM = "custom"
_KEYS = frozenset().union(*WORDS.values())


def find_word(settings: AlarmSettings) -> str:
    """Return the word for these settings; ``custom`` if there is none."""
    values = {key: getattr(settings, key) for key in _KEYS}
    default = {key: getattr(AlarmSettings(), key) for key in _KEYS}
    return next((word for word, own in WORDS.items() if values == default | own), CUSTOM)


def apply_word(word: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the section ``alarm`` with the sensitivity of a word.

    Raises
    ------
    ConfigError
        If there is no such word.
    """
    if word not in WORDS:
        raise ConfigError(f"sensitivity: expected one of {', '.join(WORDS)}, found {word!r}")
    others = {key: value for key, value in values.items() if key not in _KEYS}
    return others | WORDS[word]
