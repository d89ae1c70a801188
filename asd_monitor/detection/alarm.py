"""From scores to states: the decision layer and the alarm's state machine.

Decisions are taken on windows that do not overlap, however often scores are published:
overlapping windows share their sound, and one chance event would count several times.
"""

from collections import deque
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.calibration.normal_range import NormalRange
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

    p_raise: float = Field(0.001, gt=0, lt=0.5)
    """Probability that a window of normal sound scores above the threshold."""
    p_clear: float = Field(0.01, gt=0, lt=1)
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
    def _possible(self) -> Self:
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
    """One machine's state, from its scores.

    The machine is UNKNOWN until a window has been heard and whenever audio is lost. An alarm
    that stood before audio was lost stands again when the sound returns, until it clears by
    its own rule: not hearing a fault is no sign that it is gone.

    Parameters
    ----------
    machine
        Name that the transitions carry.
    settings
        The rules.
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
        self._counting: deque[bool] = deque(maxlen=settings.window_count)
        self._last_end: int | None = None
        self._quiet_since: int | None = None
        self._standing = False
        self._shifted = False
        self._shift = SustainedShift(settings.sustained_s)
        self._reason = ""

    def begin(self, at: float) -> Transition:
        """Announce the state at start, so that nobody shows one from before."""
        return self._change(self.state, "the monitor has started", at, None)

    def learn(self, at: float) -> Transition | None:
        """Enter LEARNING: no model yet, nothing can be said."""
        self._forget()
        return self._enter(State.LEARNING, "collecting normal sound to learn from", at, None)

    def arm(
        self,
        clear_below: float,
        window_samples: int,
        sample_rate_hz: int,
        *,
        provisional: bool,
        at: float,
        normal_range: NormalRange | None = None,
    ) -> Transition | None:
        """Be ready for scores of a model whose alarm clears at scores up to ``clear_below``.

        Without a normal range of its score, no sustained shift is detected.
        """
        self._forget()
        self._shift.configure(normal_range, window_samples, sample_rate_hz)
        self._clear_below = clear_below
        self._window_samples = window_samples
        self._sample_rate_hz = sample_rate_hz
        self._provisional = provisional
        if self.state is State.LEARNING:
            return self._enter(State.UNKNOWN, "the model is ready; no window scored yet", at, None)
        return None

    def lose(self, reason: str, at: float) -> Transition | None:
        """Nothing can be said any more: audio was lost, or cannot be trusted."""
        if self.state is State.LEARNING:
            return None
        self._standing = self._standing or self.state is State.ALARM
        self._counting.clear()
        self._shift.reset()
        self._shifted = self._shifted and self._standing
        self._quiet_since = None
        return self._enter(State.UNKNOWN, reason, at, None)

    def update(self, score: WindowScore) -> tuple[Decision, Transition | None]:
        """Take a window into account; return the decision, and the change of state if any."""
        transition = self._evaluate(score)
        return Decision(self.state, self._reason, self._shift.duration_s), transition

    def _evaluate(self, score: WindowScore) -> Transition | None:
        if score.quality not in SCORED_QUALITIES or score.value is None:
            return self.lose(_REJECTED[score.quality], score.captured_at)
        if self._overlaps(score):
            return None
        assert score.threshold is not None  # noqa: S101 - a scored window has one
        self._last_end = score.window_start + self._window_samples
        counts = score.value > score.threshold
        if score.quality is not Quality.OK and not counts:
            return self.lose(_REJECTED[score.quality], score.captured_at)
        self._counting.append(counts)
        self._shift.update(score.value, score.window_start)
        self._shifted = self._shifted or self._shift.warns
        state, reason = self._judge(self._quiet_s(score))
        return self._enter(state, reason, score.captured_at, score)

    def _overlaps(self, score: WindowScore) -> bool:
        """Tell whether a window shares sound with the last one decided on."""
        return self._last_end is not None and score.window_start < self._last_end

    def _quiet_s(self, score: WindowScore) -> float:
        """Return for how long every window has stayed at or below the clearing level.

        Where a lasting shift was told, the usual range is the clearing level as well.
        """
        assert score.value is not None  # noqa: S101 - only scored windows come here
        if score.value > self._clear_below or (self._shifted and self._shift.duration_s > 0):
            self._quiet_since = None
            return 0.0
        if self._quiet_since is None:
            self._quiet_since = score.window_start
        quiet_samples = score.window_start + self._window_samples - self._quiet_since
        return quiet_samples / self._sample_rate_hz

    def _judge(self, quiet_s: float) -> tuple[State, str]:
        rules, counting = self._settings, sum(self._counting)
        tally = _tally(counting, len(self._counting))
        lost, self._standing = self._standing, False
        loud = quiet_s == 0 or quiet_s < rules.hold_s
        if counting >= rules.min_exceedances:
            return State.ALARM, tally
        if self._shift.alarms:
            return State.ALARM, self._shift.description
        if lost and loud:
            return State.ALARM, "the alarm from before the audio was lost still stands"
        if self.state is State.ALARM and loud:
            return State.ALARM, f"quiet for {quiet_s:.0f} s of {rules.hold_s:.0f} s"
        if lost or self.state is State.ALARM:
            return State.NORMAL, f"quiet for {quiet_s:.0f} s"
        if self._shift.warns:
            return State.WARNING, self._shift.description
        if counting >= rules.warning_exceedances:
            return State.WARNING, tally
        if self.state is State.WARNING and self._shifted and loud:
            return State.WARNING, f"quiet for {quiet_s:.0f} s of {rules.hold_s:.0f} s"
        if self.state is State.UNKNOWN and self._counting[-1]:
            return State.UNKNOWN, "one window is over the threshold; waiting for more"
        return State.NORMAL, tally

    def _forget(self) -> None:
        self._counting.clear()
        self._last_end = None
        self._quiet_since = None
        self._standing = self._shifted = False

    def _enter(
        self, state: State, reason: str, at: float, score: WindowScore | None
    ) -> Transition | None:
        self._reason = reason
        if state is State.NORMAL:
            self._shifted = False
        if state is self.state:
            return None
        if self.state is State.ALARM and state is State.NORMAL:
            self._counting.clear()
        return self._change(state, reason, at, score)

    def _change(
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


def _tally(counting: int, windows: int) -> str:
    if windows == 1:
        return f"the first window is {'over' if counting else 'below'} the threshold"
    return f"{counting} of the last {windows} windows are over the threshold"


_REJECTED = {
    Quality.OK: "the model gave no score",
    Quality.CLIPPED: "the microphone is overdriven: too many samples at full scale",
    Quality.DC: "a constant offset dominates the signal: check the microphone",
    Quality.SILENT: "digital silence: the microphone is muted or not connected",
    Quality.STUCK: "the samples are stuck at one value: check the microphone",
    Quality.NON_FINITE: "the samples are not finite numbers: check the driver",
    Quality.ERROR: "the model gave no finite score",
}
