"""The alarm's result for a window, and changes of a machine's state."""

from dataclasses import dataclass
from enum import StrEnum

from asd_monitor.records.scores import PassingSound, WindowScore


class State(StrEnum):
    """State of a machine."""

    UNKNOWN = "UNKNOWN"
    """There is no sound, audio was lost, or the sound cannot be trusted."""
    LEARNING = "LEARNING"
    """Normal sound is being collected, or the model is being fitted."""
    NORMAL = "NORMAL"
    OFF = "OFF"
    """The machine is off: its sound is far below the quietest that was learned."""
    WARNING = "WARNING"
    ALARM = "ALARM"


NORMAL_RANGE = "normal range"
"""Name of the limit that is the upper end of the normal range."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the score, with which a rule of the alarm compares."""

    rule: str
    """Name of the rule, such as ``window``."""
    name: str
    """Name of the limit for the user, such as ``threshold``."""
    value: float
    """In units of the score; a score above it exceeds the limit."""


OFF_WORD = "machine off"
NOT_JUDGED_WORD = "not judged"
UNLEARNED_WORD = "state not learned"
UNLEARNED_RULE = "unlearned"
"""Rule of a machine in a state that was not learned, and of its event."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a window or a recording compares with normal sound, in words for the user."""

    word: str
    """Result in a few words, such as ``above threshold``; the same words everywhere."""
    rule: str = ""
    """Name of the rule whose limit is exceeded; empty if none is."""
    limit: float | None = None
    """The limit that is exceeded, or else the lowest that applies; None if there is none."""
    sentence: str = ""
    """The result with limit and duration."""

    @property
    def exceeds(self) -> bool:
        """Whether a limit is exceeded."""
        return self.rule != ""

    @property
    def is_judged(self) -> bool:
        """Whether the score says something about the machine: not while it is off or stops."""
        return self.word not in (OFF_WORD, NOT_JUDGED_WORD, UNLEARNED_WORD)


NOT_SCORED = Verdict("not scored")


@dataclass(frozen=True, slots=True)
class Decision:
    """The alarm's result for one window, given those before it."""

    state: State
    """The machine's state, this window included."""
    reason: str = ""
    """Why the machine is in ``state``, in one sentence for the user."""
    shift_s: float = 0.0
    """Seconds for which there has been evidence that the sound is above its normal range."""
    rule: str = ""
    """Name of the rule that holds the state; empty if none does."""
    verdict: Verdict = NOT_SCORED
    """How this window compares with normal sound."""
    limits: tuple[Limit, ...] = ()
    """Limits of the score, of all rules that have one."""
    mode: str = ""
    """Mode of the machine for the user, such as ``idle`` or ``off``; empty where none is known."""
    passing: PassingSound | None = None
    """Kind of the passing sound that is not counted at present; None without one."""

    @property
    def normal_range(self) -> float | None:
        """Upper end of the normal range of the score; None where the model has none."""
        return next((limit.value for limit in self.limits if limit.name == NORMAL_RANGE), None)


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """The detector's score of a window together with the alarm's decision."""

    score: WindowScore
    decision: Decision
    is_live: bool = True
    """False for recordings that are read faster than real time: their time is not the present."""

    @property
    def machine(self) -> str:
        """Name of the machine."""
        return self.score.machine


REMOVED = "removed"
"""In the place of a rule: the machine is no longer monitored."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a machine's state."""

    machine: str
    transition_id: str
    """Unique, so that duplicate messages can be recognised."""
    state: State
    previous: State
    reason: str
    """One sentence for the user."""
    captured_at: float
    """When the audio that caused it was captured, or the time of the change if no audio did; in
    seconds since the epoch."""
    provisional: bool
    score: WindowScore | None = None
    rule: str = ""
    """Name of the rule that caused it; empty if none did."""
    limit: float | None = None
    """Limit of that rule, in units of the score; None if there is none."""
    event_id: str = ""
    """The event that it opens, belongs to or closes: one event for a warning, the alarm that
    follows it, and its end; empty if there is none."""

    @property
    def is_continued(self) -> bool:
        """Whether it reports, after the start, a warning or an alarm from before a restart."""
        return self.previous is self.state and self.state in (State.WARNING, State.ALARM)

    @property
    def closes_event(self) -> bool:
        """Whether its event ends with this transition."""
        is_over = self.state in (State.NORMAL, State.LEARNING) or self.rule == REMOVED
        return self.event_id != "" and is_over
