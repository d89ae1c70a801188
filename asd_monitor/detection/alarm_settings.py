"""Settings of the alarm."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.detection.decision_rule import P_CLEAR, P_RAISE


class AlarmSettings(BaseModel):
    """When an alarm is raised and when it is cleared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    p_raise: float = Field(P_RAISE, gt=0, lt=0.5)
    """Probability that a window of normal sound scores above the threshold."""
    p_clear: float = Field(P_CLEAR, gt=0, lt=1)
    """Probability that a window of normal sound scores above the level at which an alarm clears."""
    min_exceedances: int = Field(3, ge=1, le=100, examples=[3])
    """Raise the alarm when this many of the last `window_count` windows exceed the threshold."""
    window_count: int = Field(5, ge=1, le=100)
    """Number of consecutive, non-overlapping windows that the alarm looks back on."""
    warning_exceedances: int = Field(2, ge=1, le=100)
    """Give a warning when this many of the same windows exceed the threshold."""
    hold_s: float = Field(20.0, ge=0, le=86_400)
    """Clear an alarm after this many quiet seconds."""
    sustained_s: float = Field(60.0, ge=0, le=86_400)
    """Raise the alarm when the score has been above its normal range for this long, or for longer
    where little normal sound was learned; give a warning after half of it; 0: never."""
    when_off: Literal["state", "alarm"] = "state"
    """When the machine is off: "state" enters OFF, which is no alarm; "alarm" raises the alarm."""
    off_margin_db: float = Field(10.0, ge=3, le=120)
    """The machine is off when its level is this far below the quietest window that was learned."""

    @model_validator(mode="after")
    def _check_possible(self) -> Self:
        if self.min_exceedances > self.window_count:
            msg = (
                f"min_exceedances ({self.min_exceedances}) cannot be more than window_count "
                f"({self.window_count}): such an alarm could never be raised"
            )
            raise ValueError(msg)
        if self.warning_exceedances > self.min_exceedances:
            msg = (
                f"warning_exceedances ({self.warning_exceedances}) cannot be more than "
                f"min_exceedances ({self.min_exceedances}): such a warning could never be given"
            )
            raise ValueError(msg)
        if self.p_clear < self.p_raise:
            msg = (
                f"p_clear ({self.p_clear}) must be at least p_raise ({self.p_raise}): "
                "an alarm clears at a lower score than it is raised at"
            )
            raise ValueError(msg)
        return self
