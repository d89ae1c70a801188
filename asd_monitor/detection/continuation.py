"""Continue an alarm or a warning from before a restart of the monitor."""

from dataclasses import replace

from asd_monitor.detection.alarm_memory import AlarmMemory, StandingAlarm
from asd_monitor.records import State, Transition


class Continuation:
    """What an alarm has to continue after a restart, and what it has continued.

    Attributes
    ----------
    standing
        The alarm or warning that has not been cleared; None if there is none.
    is_resumed
        Whether it is from before a restart, and no new sound has confirmed it.
    quiet_s
        Quiet time from before a restart, until the first window is judged.
    """

    def __init__(self) -> None:
        self.standing: StandingAlarm | None = None
        self.is_resumed = False
        self.quiet_s = 0.0
        self._memory: AlarmMemory | None = None

    def resume(self, memory: AlarmMemory, *, is_recent: bool) -> State:
        """Take over from before a restart; return the state to begin with."""
        standing = memory.standing
        self._memory = memory
        if not is_recent:
            self._memory = AlarmMemory(state=State.UNKNOWN, is_reported=memory.is_reported)
        if standing is None or not (is_recent or standing.state is State.ALARM):
            return State.UNKNOWN
        self.standing, self.is_resumed = standing, True
        return standing.state if memory.state is standing.state else State.UNKNOWN

    def take_memory(self) -> AlarmMemory | None:
        """Return the evidence to restore, once; None if there is none."""
        memory, self._memory = self._memory, None
        self.quiet_s = 0.0 if memory is None else memory.quiet_s
        return memory

    def take_quiet_s(self) -> float:
        """Return the quiet time from before a restart, once."""
        quiet_s, self.quiet_s = self.quiet_s, 0.0
        return quiet_s

    def forget(self) -> None:
        """Continue nothing, because the machine is learned again."""
        self.standing = self._memory = None
        self.is_resumed = False

    def update(self, transition: Transition) -> None:
        """Note what a change of state begins or ends; lost sound does not end an alarm."""
        state, standing = transition.state, self.standing
        alarmed = standing is not None and standing.state is State.ALARM
        if transition.is_continued:
            return
        if state is State.WARNING or (state is State.ALARM and not alarmed):
            self.standing = StandingAlarm.from_transition(transition)
        elif not (alarmed and state in (State.ALARM, State.UNKNOWN)):
            self.standing, self.is_resumed = None, False

    def first_reason(self, state: State) -> str:
        """Return the reason of the first state after the start."""
        if self.standing is None:
            return "the monitor has started"
        if state is State.UNKNOWN:
            return "the monitor has started; the alarm from before the restart was not cleared"
        return f"continued from before the restart: {self.standing.reason}"

    def as_begun(self, first: Transition) -> Transition:
        """Return the first transition with the time and the id of what it continues."""
        if self.standing is None or not first.is_continued:
            return first
        return replace(
            first,
            captured_at=self.standing.since,
            transition_id=self.standing.transition_id,
            provisional=self.standing.provisional,
        )

    def describe(self, text: str) -> str:
        """Return the reason of a held state, and that it is from before a restart."""
        return f"continued from before the restart; {text}" if self.is_resumed else text
