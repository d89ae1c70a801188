"""Rows of the history as frozen records.

Times are seconds since the epoch; the database stores them as whole milliseconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from asd_monitor.records import Band, Quality, State


class NoteKind(StrEnum):
    """What a person, or the program itself, recorded about an event."""

    ACK = "ack"
    NORMAL = "normal"
    """It was normal: a false alarm."""
    FAULT = "fault"
    """It was a fault."""
    UNSURE = "unsure"
    COMMENT = "comment"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    MAINTENANCE = "maintenance"


VERDICT_KINDS = frozenset({NoteKind.NORMAL, NoteKind.FAULT, NoteKind.UNSURE})
"""Notes that say what an event was; the newest one counts."""


@dataclass(frozen=True, slots=True)
class Event:
    """One trouble of a machine: a warning, the alarm that follows it, and its end are one event."""

    id: str
    machine: str
    opened_s: float
    closed_s: float | None = None
    """When the machine was normal again; None while the event is open."""
    peak_state: State = State.WARNING
    """The most severe state so far."""
    peak_score: float | None = None
    """The highest score so far."""
    threshold: float | None = None
    """A score above this was an exceedance."""
    rule: str = ""
    """Name of the rule that caused ``peak_state``."""
    reason: str = ""
    """Why the machine was in ``peak_state``, in one sentence for the user."""
    headline: str = ""
    """What changed in the sound, in words; empty until the evidence is ready."""
    bands: tuple[Band, ...] = ()
    clip: str = ""
    """Name of the sound file in the event's folder; empty if there is none."""
    picture: str = ""
    """Name of the spectrogram's file in the event's folder; empty if there is none."""
    nearest_normal: str = ""
    """The recording of normal sound that resembles it most; empty if none is known."""
    clip_s: float = 0.0
    """Length of the clip."""
    shift_s: float = 0.0
    """Longest time for which the sound was above its normal range."""
    model_sha256: str = ""
    provisional: bool = False
    """True if few calibration windows supported the threshold."""
    protected: bool = False
    """True: its clip is never removed to make room."""
    verdict: str = ""
    """What a person found: ``normal``, ``fault``, ``unsure``; empty before that. From the
    notes."""
    acknowledged: bool = False
    """Whether a person has acknowledged it. From the notes."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """An entry about an event. Notes are only ever added, so they are also the audit trail."""

    event_id: str
    at_s: float
    who: str
    kind: NoteKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The score of one window."""

    at_s: float
    """When the window's last sample was captured."""
    value: float | None
    """None where the window could not be scored."""
    state: State
    quality: Quality
    threshold: float | None = None
    normal_range: float | None = None
    """Upper end of the normal range of the score's level; None where it is not known."""
    level_dbfs: float | None = None
    shift_s: float = 0.0
    lost_samples: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the score is above its threshold, while the machine is not switched off."""
        if self.value is None or self.threshold is None or self.state is State.OFF:
            return False
        return self.value > self.threshold


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """The scores of one minute, or of the longer span that a reader asked for."""

    start_s: float
    length_s: float
    windows: int
    """Number of windows, scored or not."""
    scored: int
    lowest: float | None
    median: float | None
    """Median score; of a span longer than a minute, the mean of the medians of its minutes."""
    highest: float | None
    over: int
    """Number of windows above the threshold, without those in which the machine is off."""
    level_dbfs: float | None
    """Mean level; None for digital silence."""
    worst_state: State
    lost_samples: int
    threshold: float | None = None
    """The newest threshold of the span."""
    normal_range: float | None = None
    """The newest normal range of the span."""


@dataclass(frozen=True, slots=True)
class StateSpan:
    """A time in one state. Times that no span covers were not monitored."""

    from_s: float
    to_s: float | None
    """None: the machine is still in this state."""
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModeSpan:
    """A time in one mode. Times that no span covers have no known mode."""

    from_s: float
    to_s: float | None
    """None: the machine is still in this mode."""
    mode: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """A time in which alarms of a machine are not to disturb anyone."""

    machine: str
    from_s: float
    until_s: float
    who: str
    why: str = ""
    kind: NoteKind = NoteKind.SHELVE
    """``shelve`` or ``maintenance``."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that a person did or asked for. Entries are only ever added."""

    at_s: float
    who: str
    via: str
    """Where it came from: ``page``, ``command line``, ``mqtt``, or the ``monitor`` itself."""
    action: str
    """What was asked for, such as ``ack``."""
    machine: str = ""
    event_id: str = ""
    accepted: bool = True
    """False: it was refused, for the reason in ``text``."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model that scored a machine."""

    sha256: str
    from_s: float
    """When it first scored a window."""
    name: str = ""
    revision: str = ""
    calibration_windows: int = 0
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class MachineOverview:
    """A machine in a list of machines."""

    machine: str
    spans: tuple[StateSpan, ...]
    """The states of the requested time."""
    open_event: Event | None
    last_score_s: float | None
    """When the newest stored window was captured."""
