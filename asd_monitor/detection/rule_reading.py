"""Result of one rule of the alarm for the newest window."""

from dataclasses import dataclass

from asd_monitor.records import Limit


@dataclass(frozen=True, slots=True)
class RuleReading:
    """How the newest window, and those before it, compare with the limit of one rule."""

    rule: str
    """Name of the rule."""
    limit: Limit | None
    """None where the model file does not have it, or the rule is off."""
    exceeded: bool
    word: str
    """Result in a few words, such as ``above threshold``."""
    sentence: str
    """The same with limit and duration."""
