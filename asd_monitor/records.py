"""Frozen records that pass between the stages of the monitor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Quality(StrEnum):
    """Assessment of a window's samples before they reach the model."""

    OK = "ok"
    CLIPPED = "clipped"
    """Too many samples at full scale: scored, but never considered normal."""
    DC = "dc"
    """A constant offset dominates: scored, but never considered normal."""
    SILENT = "silent"
    """Digital silence: not scored."""
    STUCK = "stuck"
    """Very few distinct values, or long runs of one value: not scored."""
    NON_FINITE = "non_finite"
    """NaN or infinite samples: not scored."""
    HUM = "hum"
    """Hum of the mains, and no other sound: not scored."""
    ERROR = "error"
    """The model gave no finite score for these samples."""


SCORED_QUALITIES = frozenset({Quality.OK, Quality.CLIPPED, Quality.DC})


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


class Rejection(StrEnum):
    """Why commissioning does not learn from sound."""

    CLIPPED = "clipped"
    DC = "dc"
    QUIET = "quiet"
    """Weaker than the noise of an input: there is no microphone, or its gain is far too low."""
    SILENT = "silent"
    STUCK = "stuck"
    NON_FINITE = "non_finite"
    HUM = "hum"
    LOST = "lost"
    """Audio was lost, so that a recording could not be completed."""
    DUPLICATE = "duplicate"
    """The same sound was learned from before."""


class SourceState(StrEnum):
    """State of a source of audio."""

    OPENING = "opening"
    RUNNING = "running"
    MISSING = "missing"
    """The device or file does not exist, or cannot be opened as configured."""
    FROZEN = "frozen"
    """The device is open, but no audio arrives."""
    SILENT = "silent"
    """Audio arrives, but it is digital silence."""
    ENDED = "ended"
    """All recordings have been played; no more audio will follow."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of audio as it arrived, of any length."""

    samples: FloatArray
    """``(n,)`` float32 in [-1, 1], mono, at the rate that the model asks for; read-only."""
    start: int
    """Index of the first sample since the source was first opened; lost samples are counted."""
    captured_at: float
    """When the last sample was captured, in seconds since the epoch."""
    recording: str = ""
    """Name of the recording that it comes from; windows and clips never span two recordings."""
    lost_samples: int = 0
    """Samples lost since the chunk before this one, or since the source was opened."""


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive samples of one machine, as a model scores them; never across a gap."""

    machine: str
    samples: FloatArray
    """``(window_samples,)`` float32; read-only."""
    start: int
    """Index of the first sample, as in :class:`AudioChunk`."""
    captured_at: float
    """When the last sample was captured, in seconds since the epoch."""
    recording: str = ""
    lost_samples: int = 0
    """Samples lost since the window before this one."""
    channels: FloatArray | None = None
    """``(channels, window_samples)`` for models of several channels, of which ``samples`` is the
    first; None for all others."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that gave a score, and how well its threshold is supported."""

    name: str
    revision: str
    sha256: str
    target: str
    sample_rate_hz: int
    window_samples: int
    hop_samples: int
    calibration_windows: int
    provisional: bool
    """True while too few calibration windows support the threshold."""


OFF_MODE = "off"
UNLEARNED_MODE = "not learned"
"""What is displayed as the mode while a machine is in a state that was not learned."""


@dataclass(frozen=True, slots=True)
class ModeReading:
    """The mode in which a machine is, such as idle or one of its loads."""

    name: str
    """Name of the mode; the nearest one where none fits."""
    is_learned: bool = True
    """False while the sound is as steady as that of a mode, and differs from all of them."""
    description: str = ""
    """How the sound differs from the nearest mode, for the user; empty where it fits."""

    @property
    def label(self) -> str:
        """What is displayed as the mode."""
        return self.name if self.is_learned else UNLEARNED_MODE


class PassingSound(StrEnum):
    """Sounds of the surroundings that come and go."""

    SPEECH = "speech"
    VEHICLE = "vehicle"
    IMPACT = "impact"
    ELSEWHERE = "elsewhere"
    """It is clearly stronger in the microphone of another machine."""


PASSING_RULE = "passing"
"""Rule of a warning for a passing sound that is not counted as a fault."""


@dataclass(frozen=True, slots=True)
class WindowScore:
    """The detector's result for one window. Higher ``value`` = more anomalous."""

    machine: str
    seq: int
    """Number of windows of this machine before this one since the start, scored or not."""
    window_start: int
    captured_at: float
    """When the window's last sample was captured, in seconds since the epoch."""
    quality: Quality
    value: float | None
    """The anomaly score; None where the window could not be scored. Always finite."""
    p_value: float | None
    """How often normal sound scores this high or higher, in (0, 1]."""
    extrapolated: bool
    """True where the score is beyond all calibration scores: ``p_value`` is from a fitted tail."""
    threshold: float | None
    """A score above this is an exceedance."""
    level_dbfs: float | None
    """RMS level in dB relative to a full-scale square wave; None for digital silence."""
    lost_samples: int
    inference_s: float
    """Model time spent on this window: the batch's time divided by its size."""
    model: ModelInfo | None = None
    recording: str = ""
    voices: tuple[float, ...] = ()
    """Log scores of parts of the sound; empty where the model file has only a score."""
    mode: ModeReading | None = None
    """The machine's mode, to which ``value`` and ``voices`` are adjusted; None where the model
    file has none."""
    level_change_db: float | None = None
    """By how much all bands are louder than while learning; None where the model does not say."""
    passing: PassingSound | None = None
    """What passing sound the window contains, if it is unusual; None for none."""
    elsewhere: str = ""
    """In which other machine's microphone its unusual sound is stronger, and by how much, for the
    user; empty where it is not."""


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


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """Health of a machine's source; counters start with the monitor."""

    machine: str
    state: SourceState
    reason: str
    """One sentence for the user; empty while there is no problem."""
    device: str
    samples: int
    """Samples delivered, at the model's rate."""
    lost_samples: int
    """Samples lost, derived from the clock, at the model's rate."""
    overflows: int
    """Overflows reported by the driver, which show that audio was lost but not how much."""
    reopens: int
    last_audio_at: float | None
    """When the last audio was captured, in seconds since the epoch; None before the first."""
    measured_rate_hz: float | None = None
    """Device rate measured against the clock; None before it is known."""
    rate_hz: int | None = None
    """Rate at which the sound is recorded, before it is converted; None before it is known."""
    clock_unsynced: bool = False
    """Whether times may be wrong, since the system clock is not synchronised or was set back."""


@dataclass(frozen=True, slots=True)
class LearningProgress:
    """Progress of commissioning."""

    machine: str
    learned_s: float
    required_s: float
    fitting: bool = False
    problem: str = ""
    """Why sound is not learned from, and what to do, for the user; empty while it is."""
    rejected_s: Mapping[Rejection, float] = field(default_factory=dict)
    """Seconds that were not learned from since the start, by reason."""

    @property
    def reason(self) -> str:
        """Why the machine is in LEARNING, in one sentence for the user."""
        default = "collecting normal sound to learn from"
        return self.problem or ("fitting the model" if self.fitting else default)


@dataclass(frozen=True, slots=True)
class Band:
    """A frequency band that deviates from normal sound during an event."""

    low_hz: float
    high_hz: float
    change_db: float
    """Difference from normal sound; positive: louder."""
    from_s: float = 0.0
    """Start of the deviation, in seconds from the start of the clip."""
    to_s: float = 0.0
    """End of the deviation, in seconds from the start of the clip."""


@dataclass(frozen=True, slots=True)
class EvidenceReady:
    """The evidence of an event, when it is first there and whenever it has changed."""

    machine: str
    event_id: str
    at: float
    """When it was made, in seconds since the epoch."""
    headline: str
    """What changed in the sound, in one sentence for the user."""
    bands: tuple[Band, ...] = ()
    """Frequency bands that differ from normal sound, the most important ones first."""
    picture: str = ""
    """Path of the spectrogram as a PNG file; empty if there is none."""
    clip: str = ""
    """Path of the sound as a FLAC file; empty if none is kept."""
    clip_s: float = 0.0
    """Length of the clip."""
    url: str = ""
    """Page of the event; empty unless the page's external URL is known."""
    is_final: bool = False
    """Whether the event has ended, so that the evidence changes no more."""


class AlarmStatus(StrEnum):
    """What people did about the events of a machine, as distinct from its measured state."""

    NONE = "none"
    """There is nothing to acknowledge."""
    UNACKNOWLEDGED = "unacknowledged"
    """An event is open, and no one has acknowledged or judged it."""
    ACKNOWLEDGED = "acknowledged"
    """An event is open, and someone has acknowledged or judged it."""
    RETURNED = "returned-unacknowledged"
    """The machine is normal again, and no one has acknowledged or judged its last events."""
    SHELVED = "shelved"
    """No notifications are sent until a given time."""
    MAINTENANCE = "in-maintenance"
    """As shelved, because people work at the machine."""


@dataclass(frozen=True, slots=True)
class MachineAlarm:
    """What people did about the events of a machine, whenever that changes."""

    machine: str
    status: AlarmStatus
    at: float
    """When it became so, or when it was found at the start; in seconds since the epoch."""
    event_id: str = ""
    """The open event, or else the newest that is unacknowledged; empty if there is none."""
    unacknowledged: int = 0
    """Events that no one has acknowledged or judged, the open one included."""
    verdict: str = ""
    """What a person found of ``event_id``: ``normal``, ``fault``, ``unsure``; empty if nothing."""
    until_s: float | None = None
    """End of the shelf or of the maintenance, in seconds since the epoch."""
    who: str = ""
    """Who acknowledged, judged or shelved."""
    comment: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether notifications about the machine are suspended."""
        return self.status in (AlarmStatus.SHELVED, AlarmStatus.MAINTENANCE)


@dataclass(frozen=True, slots=True)
class CalibrationStatus:
    """Progress of a calibration that continues while monitoring, and drift since commissioning."""

    machine: str
    sample_s: float
    """Length of the normal sound in the sample."""
    progress: str
    """How much was collected and what it supports, in one sentence for the user."""
    is_extended: bool
    """Whether the limits in use were computed from the sample."""
    drift: str = ""
    """How the sound of the last week differs from that of commissioning; empty while it does not
    differ by more than the limits."""


@dataclass(frozen=True, slots=True)
class MachineRemoved:
    """The last record of a machine that was removed from the running monitor."""

    machine: str


Record = (
    ScoredWindow
    | Transition
    | SourceHealth
    | LearningProgress
    | EvidenceReady
    | MachineAlarm
    | CalibrationStatus
    | MachineRemoved
)
