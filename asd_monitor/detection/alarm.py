"""Decide on a machine's state from its scores.

Decisions use only windows that do not overlap, however often scores are published: overlapping
windows share their sound, so one chance event would count several times.
"""

from asd_monitor.audio.quality import DESCRIPTIONS
from asd_monitor.detection.alarm_memory import AlarmMemory
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.continuation import Continuation
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.machine_off import MachineOff, Phase
from asd_monitor.detection.passing.bouts import PassingSounds
from asd_monitor.detection.rules import Rules
from asd_monitor.detection.verdict import judge_window
from asd_monitor.records import (
    OFF_MODE,
    SCORED_QUALITIES,
    UNLEARNED_RULE,
    UNLEARNED_WORD,
    Decision,
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
        self._provisional = False
        self._window_samples = self._sample_rate_hz = 1
        self._rules = Rules(settings)
        self._passing = PassingSounds(settings.transients)
        self._last_end: int | None = None
        self._quiet_since: int | None = None
        self._rule_before_gap = ""
        self._is_reported = False
        self._off = MachineOff(settings.off_margin_db)
        self._is_unlearned = False
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
            is_reported=self._is_reported,
            evidence={rule.name: rule.evidence for rule in self._rules.all},
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
        self._rules.configure(rule)
        self._passing.configure(rule.window_samples, rule.sample_rate_hz)
        self._off.configure(rule)
        self._window_samples = rule.window_samples
        self._sample_rate_hz = rule.sample_rate_hz
        self._provisional = rule.provisional
        self._restore_evidence()
        if self.state is State.LEARNING:
            return self._enter(State.UNKNOWN, "the model is ready; no window scored yet", at, None)
        return None

    def adjust(self, rule: DecisionRule) -> None:
        """Judge the scores of the same model by other limits, and keep the evidence so far."""
        self._passing.skip_gap()
        evidence = {each.name: each.evidence for each in self._rules.all}
        self._rules.configure(rule)
        for each in self._rules.all:
            each.restore(evidence[each.name])
        self._provisional = rule.provisional

    def change_settings(self, settings: AlarmSettings, rule: DecisionRule) -> None:
        """Judge the scores of the same model by other settings, and keep state and evidence."""
        evidence = {each.name: each.evidence for each in self._rules.all}
        if settings.off_margin_db != self._settings.off_margin_db:
            self._off = MachineOff(settings.off_margin_db)
            self._off.configure(rule)
        self._settings, self._rules = settings, Rules(settings)
        self._rules.configure(rule)
        for each in self._rules.all:
            each.restore(evidence[each.name])
        self._provisional = rule.provisional

    def _restore_evidence(self) -> None:
        """Restore the evidence from before a restart, once."""
        memory, standing = self._continuation.take_memory(), self._continuation.standing
        if memory is None:
            return
        for rule in self._rules.all:
            rule.restore(memory.evidence.get(rule.name, {}))
        self._is_reported = memory.is_reported
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
        self._skip_gap()
        return self._enter(State.UNKNOWN, reason, at, None)

    def _skip_gap(self) -> None:
        """Continue after sound that is missing or not judged."""
        self._rules.skip_gap()
        self._passing.skip_gap()
        self._quiet_since = None
        self._continuation.quiet_s = 0.0

    def update(self, score: WindowScore) -> tuple[Decision, Transition | None]:
        """Take a window into account; return the decision, and the change of state if any."""
        transition = self._evaluate(score)
        sequential = self._rules.sequential
        decision = Decision(
            state=self.state,
            reason=self._reason,
            shift_s=sequential.duration_s if sequential.is_notable else 0.0,
            rule=self._rule,
            verdict=self._judge(score),
            limits=self._rules.limits,
            mode=self._mode_of(score),
            passing=self._passing.kind,
        )
        return decision, transition

    def _mode_of(self, score: WindowScore) -> str:
        """Return the mode of the machine for the user."""
        if self._off.phase is Phase.OFF:
            return OFF_MODE
        return "" if score.mode is None else score.mode.label

    def _judge(self, score: WindowScore) -> Verdict:
        if self._is_unlearned:
            return Verdict(UNLEARNED_WORD, sentence=self._reason)
        if self._off.phase.is_judged:
            return judge_window(score.quality, self._rules.read(score))
        return self._off.verdict

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
        if self._continues_unlearned(score):
            return self._enter_unlearned(score)
        self._rules = self._passing.update(
            score, self._rules, may_ignore=self.state is not State.ALARM
        )
        if self._begins_unlearned(score):
            return self._enter_unlearned(score)
        warns = self._rules.warning is not None or self._passing.warns
        self._is_reported = self._is_reported or warns
        state, reason, rule = self._next_state(self._quiet_s(score.window_start))
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
        self._skip_gap()
        rule_before_gap, self._rule_before_gap = self._rule_before_gap, ""
        if self.state is State.ALARM:
            rule_before_gap = self._rule
        if self._settings.when_off == "alarm":
            return self._enter(State.ALARM, reason, at, score, rule_before_gap or self._off.name)
        if rule_before_gap:
            reason = f"{reason}; the alarm from before is still active"
            return self._enter(State.ALARM, reason, at, score, rule_before_gap)
        self._is_reported = False
        return self._enter(State.OFF, reason, at, score, self._off.name)

    def _continues_unlearned(self, score: WindowScore) -> bool:
        """Return whether a state that was not learned lasts."""
        was_unlearned, self._is_unlearned = self._is_unlearned, False
        return was_unlearned and score.mode is not None and not score.mode.is_learned

    def _begins_unlearned(self, score: WindowScore) -> bool:
        """Return whether unusual sound is that of a state that was not learned.

        An alarm is not withdrawn: where the rules raise one before the sound is known to be as
        steady as a mode, it remains.
        """
        if self._settings.when_unlearned == "alarm" or self.state is State.ALARM:
            return False
        is_unlearned = score.mode is not None and not score.mode.is_learned
        is_unusual = self._rules.warning is not None or self.state is State.WARNING
        may_alarm = self._rules.alarming is not None or self._rule_before_gap != ""
        return is_unlearned and is_unusual and not may_alarm

    def _enter_unlearned(self, score: WindowScore) -> Transition | None:
        """Enter UNKNOWN: what the rules know about other modes says nothing about this one."""
        assert score.mode is not None  # noqa: S101 - checked by the callers
        self._is_unlearned = True
        self._rules.reset()
        self._skip_gap()
        reason, at = score.mode.description, score.captured_at
        return self._enter(State.UNKNOWN, reason, at, score, UNLEARNED_RULE)

    def _quiet_s(self, window_start: int) -> float:
        """Return for how long every window has been quiet by every rule."""
        earlier_s = self._continuation.take_quiet_s()
        if not (self._rules.quiet and self._passing.is_quiet):
            self._quiet_since = None
            return 0.0
        if self._quiet_since is None:
            self._quiet_since = window_start - round(earlier_s * self._sample_rate_hz)
        quiet_samples = window_start + self._window_samples - self._quiet_since
        return quiet_samples / self._sample_rate_hz

    def _next_state(self, quiet_s: float) -> tuple[State, str, str]:
        """Return the state, its reason and the rule behind it; the first that applies wins."""
        alarming, warning, hold_s = self._rules.alarming, self._rules.warning, self._settings.hold_s
        rule_before_gap, self._rule_before_gap = self._rule_before_gap, ""
        holding = quiet_s == 0 or quiet_s < hold_s
        if alarming is not None:
            self._continuation.is_resumed = False
            return State.ALARM, alarming.description, alarming.name
        if rule_before_gap and holding:
            cause = "restart" if self._continuation.is_resumed else "audio was lost"
            reason = f"the alarm from before the {cause} is still active"
            return State.ALARM, reason, rule_before_gap
        if self.state is State.ALARM and holding:
            return State.ALARM, self._describe_hold(quiet_s), self._rule
        if rule_before_gap or self.state is State.ALARM:
            return State.NORMAL, self._describe_recovery(quiet_s, rule_before_gap), ""
        if warning is not None:
            return State.WARNING, warning.description, warning.name
        if self._passing.warns:
            return State.WARNING, self._passing.description, self._passing.name
        if self.state is State.WARNING and self._is_reported and holding:
            return State.WARNING, self._describe_hold(quiet_s), self._rule
        if self.state in (State.UNKNOWN, State.OFF) and self._rules.exceedances.latest:
            return State.UNKNOWN, "one window is above the threshold; waiting for more", ""
        if self.state is State.WARNING:
            return State.NORMAL, self._describe_recovery(quiet_s), ""
        return State.NORMAL, self._rules.describe_normal(), ""

    def _describe_recovery(self, quiet_s: float, rule_before_gap: str = "") -> str:
        """Return why a warning or an alarm ends, by the rule that gave it."""
        reason = self._rules.describe_recovery(rule_before_gap or self._rule)
        return f"no unusual sound for {quiet_s:.0f} s: {reason}" if quiet_s > 0 else reason

    def _describe_hold(self, quiet_s: float) -> str:
        """Return how much of the hold time has passed."""
        text = f"no unusual sound for {quiet_s:.0f} s of {self._settings.hold_s:.0f} s"
        return self._continuation.describe(text)

    def _reset(self) -> None:
        self._rules.reset()
        self._passing.reset()
        self._off.reset()
        self._is_unlearned = False
        self._last_end = None
        self._quiet_since = None
        self._rule_before_gap = ""
        self._is_reported = False

    def _enter(
        self, state: State, reason: str, at: float, score: WindowScore | None, rule: str = ""
    ) -> Transition | None:
        self._reason, self._rule = reason, rule
        if state is State.NORMAL:
            self._is_reported = False
        if state is self.state:
            return None
        if self.state is State.ALARM and state is State.NORMAL:
            self._rules.reset()  # the evidence of this alarm must not raise the next one
        return self._make_transition(state, reason, at, score)

    def _make_transition(
        self, state: State, reason: str, at: float, score: WindowScore | None
    ) -> Transition:
        previous, self.state = self.state, state
        self._events += 1
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
            limit=self._rules.limit_of(self._rule),
        )
        self._continuation.update(transition)
        return transition
