"""Decide on a machine's state from its scores.

Decisions use only windows that do not overlap, however often scores are published: overlapping
windows share their sound, so one chance event would count several times.
"""

from collections import deque
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.detection.decision_rule import P_CLEAR, P_RAISE, DecisionRule
from asd_monitor.detection.sustained_shift import SustainedShift
from asd_monitor.records import (
    SCORED_QUALITIES,
    Decision,
    Quality,
    State,
    Transition,
    WindowScore,
)


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


class Alarm:
    """State machine of one machine, driven by the scores of its windows.

    The machine is UNKNOWN until a window has been scored and whenever audio is lost. An alarm
    that was active before audio was lost becomes active again when sound returns, until it clears
    by its own rule: the absence of sound does not show that a fault is gone.

    Parameters
    ----------
    machine
        Name that the transitions carry.
    settings
        When to raise and to clear an alarm.
    run_id
        Makes event ids unique across restarts.
    """

    def __init__(self, machine: str, settings: AlarmSettings, run_id: str) -> None:
        self.state = State.UNKNOWN
        self._machine = machine
        self._settings = settings
        self._run_id = run_id
        self._events = 0
        self._clear_below = float("inf")
        self._provisional = False
        self._window_samples = 1
        self._sample_rate_hz = 1
        self._exceedances: deque[bool] = deque(maxlen=settings.window_count)
        self._last_end: int | None = None
        self._quiet_since: int | None = None
        self._alarm_before_gap = False
        self._shift_reported = False
        self._shift = SustainedShift(settings.sustained_s)
        self._reason = ""

    def initial_transition(self, at: float) -> Transition:
        """Return the transition to the initial state, which replaces any retained by consumers."""
        return self._make_transition(self.state, "the monitor has started", at, None)

    def enter_learning(self, at: float) -> Transition | None:
        """Enter LEARNING: without a model there is nothing to decide."""
        self._reset()
        return self._enter(State.LEARNING, "collecting normal sound to learn from", at, None)

    def configure(self, rule: DecisionRule, at: float) -> Transition | None:
        """Prepare for the scores of a model that are judged by ``rule``."""
        self._reset()
        self._shift.configure(rule.normal_range, rule.window_samples, rule.sample_rate_hz)
        self._clear_below = rule.clear_below
        self._window_samples = rule.window_samples
        self._sample_rate_hz = rule.sample_rate_hz
        self._provisional = rule.provisional
        if self.state is State.LEARNING:
            return self._enter(State.UNKNOWN, "the model is ready; no window scored yet", at, None)
        return None

    def mark_unknown(self, reason: str, at: float) -> Transition | None:
        """Enter UNKNOWN because audio was lost or cannot be trusted; LEARNING continues."""
        if self.state is State.LEARNING:
            return None
        self._alarm_before_gap = self._alarm_before_gap or self.state is State.ALARM
        self._exceedances.clear()
        self._shift.reset()
        self._shift_reported = self._shift_reported and self._alarm_before_gap
        self._quiet_since = None
        return self._enter(State.UNKNOWN, reason, at, None)

    def update(self, score: WindowScore) -> tuple[Decision, Transition | None]:
        """Take a window into account; return the decision, and the change of state if any."""
        transition = self._evaluate(score)
        return Decision(self.state, self._reason, self._shift.duration_s), transition

    def _evaluate(self, score: WindowScore) -> Transition | None:
        if score.quality not in SCORED_QUALITIES or score.value is None:
            return self.mark_unknown(_REJECTED[score.quality], score.captured_at)
        if self._last_end is not None and score.window_start < self._last_end:
            return None  # it shares sound with the last window decided on
        assert score.threshold is not None  # noqa: S101 - a scored window has one
        self._last_end = score.window_start + self._window_samples
        exceeds = score.value > score.threshold
        if score.quality is not Quality.OK and not exceeds:
            return self.mark_unknown(_REJECTED[score.quality], score.captured_at)
        self._exceedances.append(exceeds)
        self._shift.update(score.value, score.window_start)
        self._shift_reported = self._shift_reported or self._shift.warns
        state, reason = self._next_state(self._quiet_s(score.value, score.window_start))
        return self._enter(state, reason, score.captured_at, score)

    def _quiet_s(self, value: float, window_start: int) -> float:
        """Return for how long every window has stayed at or below the clearing level.

        A sustained shift may lie below that level. Once one was reported, sound is quiet only
        within its normal range.
        """
        shifted = self._shift_reported and self._shift.duration_s > 0
        if value > self._clear_below or shifted:
            self._quiet_since = None
            return 0.0
        if self._quiet_since is None:
            self._quiet_since = window_start
        quiet_samples = window_start + self._window_samples - self._quiet_since
        return quiet_samples / self._sample_rate_hz

    def _next_state(self, quiet_s: float) -> tuple[State, str]:
        """Return the state and its reason; the first rule that applies wins."""
        rules, count = self._settings, sum(self._exceedances)
        exceedances = _describe_exceedances(count, len(self._exceedances))
        alarm_before_gap, self._alarm_before_gap = self._alarm_before_gap, False
        holding = quiet_s == 0 or quiet_s < rules.hold_s
        if count >= rules.min_exceedances:
            return State.ALARM, exceedances
        if self._shift.alarms:
            return State.ALARM, self._shift.description
        if alarm_before_gap and holding:
            return State.ALARM, "the alarm from before the audio was lost is still active"
        if self.state is State.ALARM and holding:
            return State.ALARM, f"quiet for {quiet_s:.0f} s of {rules.hold_s:.0f} s"
        if alarm_before_gap or self.state is State.ALARM:
            return State.NORMAL, f"quiet for {quiet_s:.0f} s"
        if self._shift.warns:
            return State.WARNING, self._shift.description
        if count >= rules.warning_exceedances:
            return State.WARNING, exceedances
        if self.state is State.WARNING and self._shift_reported and holding:
            return State.WARNING, f"quiet for {quiet_s:.0f} s of {rules.hold_s:.0f} s"
        if self.state is State.UNKNOWN and self._exceedances[-1]:
            return State.UNKNOWN, "one window is over the threshold; waiting for more"
        return State.NORMAL, exceedances

    def _reset(self) -> None:
        self._exceedances.clear()
        self._last_end = None
        self._quiet_since = None
        self._alarm_before_gap = self._shift_reported = False

    def _enter(
        self, state: State, reason: str, at: float, score: WindowScore | None
    ) -> Transition | None:
        self._reason = reason
        if state is State.NORMAL:
            self._shift_reported = False
        if state is self.state:
            return None
        if self.state is State.ALARM and state is State.NORMAL:
            self._exceedances.clear()  # those that raised this alarm must not raise the next one
        return self._make_transition(state, reason, at, score)

    def _make_transition(
        self, state: State, reason: str, at: float, score: WindowScore | None
    ) -> Transition:
        previous, self.state = self.state, state
        self._events += 1
        return Transition(
            machine=self._machine,
            event_id=f"{self._run_id}-{self._machine}-{self._events}",
            state=state,
            previous=previous,
            reason=reason,
            captured_at=at,
            provisional=self._provisional,
            score=score,
        )


def _describe_exceedances(count: int, windows: int) -> str:
    if windows == 1:
        return f"the latest window is {'over' if count else 'below'} the threshold"
    verb = "is" if count == 1 else "are"
    return f"{count} of the last {windows} windows {verb} over the threshold"


_REJECTED = {
    Quality.OK: "the model gave no score",
    Quality.CLIPPED: "the microphone is overdriven: too many samples at full scale",
    Quality.DC: "a constant offset dominates the signal: check the microphone",
    Quality.SILENT: "digital silence: the microphone is muted or not connected",
    Quality.STUCK: "the samples are stuck at one value: check the microphone",
    Quality.NON_FINITE: "the samples are not finite numbers: check the driver",
    Quality.ERROR: "the model gave no finite score",
}
