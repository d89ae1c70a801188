"""Settings of the alarm."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from asd_monitor.calibration.alarm_rate import FALSE_ALARMS_PER_MONTH

LevelAction = Literal["warning", "alarm", "off"]
TransientAction = Literal["ignore", "count"]


class AlarmSettings(BaseModel):
    """When an alarm is raised and when it is cleared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    false_alarms_per_month: float = Field(FALSE_ALARMS_PER_MONTH, gt=0, le=1000)
    """False alarms of a machine in a month of monitoring that are acceptable. Fewer make the
    monitor slower to find small faults. How few are possible depends on how much normal sound was
    learned; `asd-monitor inspect` reports it."""
    min_duration_s: float = Field(20.0, ge=0, le=3600)
    """Sound above the threshold raises the alarm when it lasts or returns for this long; shorter
    bouts are passing sounds. At 0 three windows in succession raise it. The false alarms above hold
    for 20 s and more."""
    hold_s: float = Field(20.0, ge=0, le=86_400)
    """Clear an alarm after this many quiet seconds."""
    when_off: Literal["state", "alarm"] = "state"
    """When the machine is off: "state" enters OFF, which is no alarm; "alarm" raises the alarm."""
    when_unlearned: Literal["unknown", "alarm"] = "unknown"
    """When the machine is in a state that was not learned, which is steady sound that differs from
    all learned modes by 7 dB and more in most octaves: "unknown" enters UNKNOWN, which a person can
    confirm as normal; "alarm" judges it like any other sound, which raises the alarm."""
    off_margin_db: float = Field(10.0, ge=3, le=120)
    """The machine is off when its level is this far below the quietest window that was learned."""
    level: LevelAction = "warning"
    """What a change of level does that all frequencies have in common, as after a change of gain
    or when the microphone was moved: "warning" gives a warning with an event of its own, "alarm"
    raises the alarm, "off" reports nothing. Whatever is set, other changes are still found."""
    transients: TransientAction = "ignore"
    """What speech, a passing vehicle and a few impacts do: "ignore" gives a warning at most while
    they are short and few (up to 60 s at once and two minutes in ten; three bouts of impacts in ten
    minutes), "count" judges them like any other sound."""
