"""Decide on a machine's state from its scores.

Decisions use only windows that do not overlap, however often scores are published: overlapping
windows share their sound, so one chance event would count several times.
"""

from collections.abc import Sequence

from asd_monitor.audio.quality import DESCRIPTIONS
from asd_monitor.detection.alarm_memory import AlarmMemory
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.continuation import Continuation
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.exceedances import WindowExceedances
from asd_monitor.detection.machine_off import MachineOff, Phase
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.sustained_shift import SustainedShift
from asd_monitor.detection.verdict import judge_window
from asd_monitor.records import (
    SCORED_QUALITIES,
    Decision,
    Limit,
    Quality,
    State,
    Transition,
    Verdict,
    WindowScore,
)


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
        Makes the ids of transitions unique across restarts.
    """

    def __init__(self, machine: str, settings: AlarmSettings, run_id: str) -> None:
        self.state = State.UNKNOWN
        self._machine = machine
        self._settings = settings
        self._run_id = run_id
        self._events = 0
        self._clear_below = float("inf")
        self._provisional = False
        self._window_samples = self._sample_rate_hz = 1
        self._windows = WindowExceedances(settings)
        self._last_end: int | None = None
        self._quiet_since: int | None = None
        self._rule_before_gap = ""
        self._shift_reported = False
        self._shift = SustainedShift(settings.sustained_s)
        self._off = MachineOff(settings.off_margin_db)
        self._reason = self._rule = ""
        self._continuation = Continuation()

    def initial_transition(self, at: float) -> Transition:
        """Return the transition to the initial state, which replaces any retained by consumers.

        An alarm or a warning from before a restart keeps its time and its id.
        """
        self._reason = self._continuation.first_reason(self.state)
        return self._continuation.as_begun(
            self._make_transition(self.state, self._reason, at, None)
        )

    @property
    def memory(self) -> AlarmMemory:
        """What :meth:`resume` needs after a restart."""
        quiet_s = self._continuation.quiet_s
        if self._quiet_since is not None and self._last_end is not None:
            quiet_s = (self._last_end - self._quiet_since) / self._sample_rate_hz
        return AlarmMemory(
            state=self.state,
            standing=self._continuation.standing,
            quiet_s=max(0.0, quiet_s),
            shift_reported=self._shift_reported,
            evidence={rule.name: rule.evidence for rule in (self._windows, self._shift)},
        )

    def resume(self, memory: AlarmMemory, *, is_recent: bool) -> None:
        """Continue from before a restart; to be called before :meth:`configure`.

        Parameters
        ----------
        memory
            Of the same machine and model.
        is_recent
            Whether the sound before the restart still says something about the sound after it: if
            not, only an alarm is continued, which must then be quiet for the whole hold time.
        """
        self.state = self._continuation.resume(memory, is_recent=is_recent)
        if self._continuation.standing is not None:
            self._rule = self._continuation.standing.rule

    def enter_learning(self, at: float) -> Transition | None:
        """Enter LEARNING: without a model there is nothing to decide."""
        self._continuation.forget()
        self._reset()
        return self._enter(State.LEARNING, "collecting normal sound to learn from", at, None)

    def configure(self, rule: DecisionRule, at: float) -> Transition | None:
        """Prepare for the scores of a model that are judged by ``rule``."""
        self._reset()
        self._windows.configure(rule.threshold)
        self._shift.configure(rule.normal_range, rule.window_samples, rule.sample_rate_hz)
        self._off.configure(rule)
        self._clear_below = rule.clear_below
        self._window_samples = rule.window_samples
        self._sample_rate_hz = rule.sample_rate_hz
        self._provisional = rule.provisional
        self._restore_evidence()
        if self.state is State.LEARNING:
            return self._enter(State.UNKNOWN, "the model is ready; no window scored yet", at, None)
        return None

    def _restore_evidence(self) -> None:
        """Restore the evidence from before a restart, once."""
        memory, standing = self._continuation.take_memory(), self._continuation.standing
        if memory is None:
            return
        for rule in (self._windows, self._shift):
            rule.restore(memory.evidence.get(rule.name, {}))
        self._shift_reported = memory.shift_reported
        if standing is not None and self.state is State.UNKNOWN:
            self._rule_before_gap = standing.rule

    def mark_unknown(self, reason: str, at: float) -> Transition | None:
        """Enter UNKNOWN because audio was lost or cannot be trusted; LEARNING continues."""
        if self.state is State.LEARNING:
            return None
        self._off.reset()
        return self._enter_unknown(reason, at)

    def _enter_unknown(self, reason: str, at: float) -> Transition | None:
        if self.state is State.ALARM:
            self._rule_before_gap = self._rule
        self._discard_windows()
        self._shift_reported = self._shift_reported and bool(self._rule_before_gap)
        return self._enter(State.UNKNOWN, reason, at, None)

    def _discard_windows(self) -> None:
        """Discard the windows of all rules; those before a gap say nothing about those after."""
        self._windows.reset()
        self._shift.reset()
        self._quiet_since = None
        self._continuation.quiet_s = 0.0

    def update(self, score: WindowScore) -> tuple[Decision, Transition | None]:
        """Take a window into account; return the decision, and the change of state if any."""
        transition = self._evaluate(score)
        readings = [] if score.value is None else [self._windows.read(score.value)]
        decision = Decision(
            state=self.state,
            reason=self._reason,
            shift_s=self._shift.duration_s,
            rule=self._rule,
            verdict=self._judge(score, [*readings, self._shift.read()]),
            limits=tuple(limit for limit in self._limits() if limit is not None),
        )
        return decision, transition

    def _judge(self, score: WindowScore, readings: Sequence[RuleReading]) -> Verdict:
        if self._off.phase.is_judged:
            return judge_window(score.quality, readings)
        return self._off.verdict

    def _limits(self) -> tuple[Limit | None, ...]:
        return self._windows.limit, self._shift.limit

    def _evaluate(self, score: WindowScore) -> Transition | None:
        if score.quality not in SCORED_QUALITIES or score.value is None:
            return self.mark_unknown(DESCRIPTIONS[score.quality], score.captured_at)
        if self._last_end is not None and score.window_start < self._last_end:
            return None  # it shares sound with the last window decided on
        assert score.threshold is not None  # noqa: S101 - a scored window has one
        self._last_end = score.window_start + self._window_samples
        exceeds = score.value > score.threshold
        if score.quality is not Quality.OK and not exceeds:
            return self.mark_unknown(DESCRIPTIONS[score.quality], score.captured_at)
        phase = self._off.update(score.level_dbfs, exceeds=exceeds)
        if not phase.is_judged:
            return self._enter_phase(phase, score)
        self._windows.update(exceeds)
        self._shift.update(score.value, score.window_start)
        self._shift_reported = self._shift_reported or self._shift.warns
        state, reason, rule = self._next_state(self._quiet_s(score.value, score.window_start))
        return self._enter(state, reason, score.captured_at, score, rule)

    def _enter_phase(self, phase: Phase, score: WindowScore) -> Transition | None:
        """Decide on a window that is not judged, because the machine is off, stops or starts.

        An alarm remains active while the machine is off: that it was switched off does not show
        that its fault is gone.
        """
        at, reason = score.captured_at, self._off.description
        if phase is Phase.NO_SIGNAL:
            return self._enter_unknown(reason, at)
        if phase is not Phase.OFF:
            self._quiet_since = None
            return self._enter(self.state, reason, at, score, self._rule)
        self._discard_windows()
        rule_before_gap, self._rule_before_gap = self._rule_before_gap, ""
        if self.state is State.ALARM:
            rule_before_gap = self._rule
        if self._settings.when_off == "alarm":
            return self._enter(State.ALARM, reason, at, score, rule_before_gap or self._off.name)
        if rule_before_gap:
            reason = f"{reason}; the alarm from before is still active"
            return self._enter(State.ALARM, reason, at, score, rule_before_gap)
        self._shift_reported = False
        return self._enter(State.OFF, reason, at, score, self._off.name)

    def _quiet_s(self, value: float, window_start: int) -> float:
        """Return for how long every window has stayed at or below the clearing level.

        A sustained shift may lie below that level. Once one was reported, sound is quiet only
        within its normal range.
        """
        shifted = self._shift_reported and self._shift.duration_s > 0
        earlier_s = self._continuation.take_quiet_s()
        if value > self._clear_below or shifted:
            self._quiet_since = None
            return 0.0
        if self._quiet_since is None:
            self._quiet_since = window_start - round(earlier_s * self._sample_rate_hz)
        quiet_samples = window_start + self._window_samples - self._quiet_since
        return quiet_samples / self._sample_rate_hz

    def _next_state(self, quiet_s: float) -> tuple[State, str, str]:
        """Return the state, its reason and the rule behind it; the first that applies wins."""
        windows, shift, hold_s = self._windows, self._shift, self._settings.hold_s
        rule_before_gap, self._rule_before_gap = self._rule_before_gap, ""
        holding = quiet_s == 0 or quiet_s < hold_s
        if windows.alarms or shift.alarms:
            self._continuation.is_resumed = False
        if windows.alarms:
            return State.ALARM, windows.description, windows.name
        if shift.alarms:
            return State.ALARM, shift.description, shift.name
        if rule_before_gap and holding:
            cause = "restart" if self._continuation.is_resumed else "audio was lost"
            reason = f"the alarm from before the {cause} is still active"
            return State.ALARM, reason, rule_before_gap
        if self.state is State.ALARM and holding:
            return State.ALARM, self._describe_hold(quiet_s), self._rule
        if rule_before_gap or self.state is State.ALARM:
            return State.NORMAL, f"quiet for {quiet_s:.0f} s", ""
        if shift.warns:
            return State.WARNING, shift.description, shift.name
        if windows.warns:
            return State.WARNING, windows.description, windows.name
        if self.state is State.WARNING and self._shift_reported and holding:
            return State.WARNING, self._describe_hold(quiet_s), self._rule
        if self.state in (State.UNKNOWN, State.OFF) and windows.latest:
            return State.UNKNOWN, "one window is above the threshold; waiting for more", ""
        return State.NORMAL, self._describe_normal(), ""

    def _describe_hold(self, quiet_s: float) -> str:
        """Return how much of the hold time has passed."""
        text = f"quiet for {quiet_s:.0f} s of {self._settings.hold_s:.0f} s"
        return self._continuation.describe(text)

    def _describe_normal(self) -> str:
        """Return how close the score is to a warning."""
        if self._shift.duration_s > 0:
            return self._shift.description
        if self._windows.count:
            needed = self._settings.warning_exceedances
            return f"{self._windows.description}; a warning needs {needed}"
        if self._shift.limit is not None:
            return self._shift.read().sentence
        return self._windows.description

    def _reset(self) -> None:
        self._windows.reset()
        self._off.reset()
        self._last_end = None
        self._quiet_since = None
        self._rule_before_gap = ""
        self._shift_reported = False

    def _enter(
        self, state: State, reason: str, at: float, score: WindowScore | None, rule: str = ""
    ) -> Transition | None:
        self._reason, self._rule = reason, rule
        if state is State.NORMAL:
            self._shift_reported = False
        if state is self.state:
            return None
        if self.state is State.ALARM and state is State.NORMAL:
            self._windows.reset()  # those that raised this alarm must not raise the next one
        return self._make_transition(state, reason, at, score)

    def _make_transition(
        self, state: State, reason: str, at: float, score: WindowScore | None
    ) -> Transition:
        previous, self.state = self.state, state
        self._events += 1
        limits = (limit for limit in self._limits() if limit is not None)
        transition = Transition(
            machine=self._machine,
            transition_id=f"{self._run_id}-{self._machine}-{self._events}",
            state=state,
            previous=previous,
            reason=reason,
            captured_at=at,
            provisional=self._provisional,
            score=score,
            rule=self._rule,
            limit=next((limit.value for limit in limits if limit.rule == self._rule), None),
        )
        self._continuation.update(transition)
        return transition
