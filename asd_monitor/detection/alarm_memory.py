"""What a restart of the monitor must not lose of an alarm: a standing alarm and its evidence."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asd_monitor.records import State, Transition

Evidence = Mapping[str, Any]
"""What a rule remembers; its form belongs to the rule, which ignores what it does not know."""


class StandingAlarm(BaseModel):
    """An alarm that was raised, or a warning that was given, and has not been cleared."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: State
    since: float = Field(allow_inf_nan=False)
    """When it began, in seconds since the epoch."""
    reason: str
    rule: str = Field(min_length=1)
    transition_id: str
    provisional: bool

    @classmethod
    def from_transition(cls, transition: Transition) -> "StandingAlarm":
        """Return what a change of state has begun."""
        return cls(
            state=transition.state,
            since=transition.captured_at,
            reason=transition.reason,
            rule=transition.rule,
            transition_id=transition.transition_id,
            provisional=transition.provisional,
        )


class AlarmMemory(BaseModel):
    """The state of an alarm at one moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: State
    standing: StandingAlarm | None = None
    """The alarm or warning; also where the state is UNKNOWN because sound was lost afterwards."""
    quiet_s: float = Field(0.0, ge=0, allow_inf_nan=False)
    """For how long the sound has been quiet, towards the hold time."""
    is_reported: bool = False
    """Whether a rule has given a warning since the sound was last normal."""
    evidence: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The evidence of each rule, by its name."""
