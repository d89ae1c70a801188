"""The frozen values that travel between the stages of the monitor."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Quality(StrEnum):
    """What can be said of a window's samples before any model has seen them."""

    OK = "ok"
    CLIPPED = "clipped"
    """Too many samples at full scale: scored, but never taken as normal."""
    DC = "dc"
    """A constant offset dominates: scored, but never taken as normal."""
    SILENT = "silent"
    """Digital silence: not scored."""
    STUCK = "stuck"
    """Hardly any distinct values, or long runs of one value: not scored."""
    NON_FINITE = "non_finite"
    """NaN or infinite samples: not scored."""
    ERROR = "error"
    """The model gave no finite score for these samples."""


SCORED_QUALITIES = frozenset({Quality.OK, Quality.CLIPPED, Quality.DC})


class State(StrEnum):
    """What the monitor says of a machine."""

    UNKNOWN = "UNKNOWN"
    LEARNING = "LEARNING"
    NORMAL = "NORMAL"
    WARNING = "WARNING"
    ALARM = "ALARM"


class SourceState(StrEnum):
    """What a source says of itself."""

    OPENING = "opening"
    RUNNING = "running"
    MISSING = "missing"
    """The device or file is not there, or cannot be opened as configured."""
    FROZEN = "frozen"
    """The device is open, but no audio arrives."""
    SILENT = "silent"
    """Audio arrives, but it is digital silence."""
    ENDED = "ended"
    """A recording came to its end; nothing more will come."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of audio as it arrived, of any length."""

    samples: FloatArray
    """``(n,)`` float32 in [-1, 1], mono, at the rate that the model asks for; read-only."""
    start: int
    """Index of the first sample since the source was first opened. A jump means lost audio."""
    captured_at: float
    """When the last sample was captured, in seconds since the epoch."""
    recording: str = ""
    """Name of the recording it comes from; a change of name starts anew and loses nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a model scores: consecutive samples of one machine, never across a gap."""

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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model gave a score, and how much stands behind its threshold."""

    name: str
    revision: str
    sha256: str
    target: str
    sample_rate_hz: int
    window_samples: int
    hop_samples: int
    calibration_windows: int
    provisional: bool
    """True while too few calibration windows stand behind the threshold."""


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What the detector knows of one window. Higher ``value`` = more anomalous."""

    machine: str
    seq: int
    """Counts all windows of this machine since the start, whether or not they were scored."""
    window_start: int
    captured_at: float
    """When the window's last sample was captured, in seconds since the epoch."""
    quality: Quality
    value: float | None
    """The anomaly score; None where the window could not be scored. Always finite."""
    p_value: float | None
    """How often normal sound scores this high or higher, in (0, 1]."""
    extrapolated: bool
    """True where ``p_value`` lies beyond the calibration scores and comes from a fitted tail."""
    threshold: float | None
    """A score above this counts towards an alarm."""
    level_dbfs: float | None
    """RMS level in dB relative to a full-scale square wave; None for digital silence."""
    lost_samples: int
    inference_s: float
    """Model time spent on this window: the batch's time divided by its size."""
    model: ModelInfo | None = None
    recording: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the alarm concludes from one window and those before it."""

    state: State
    """The machine's state, this window included."""
    reason: str = ""
    """Why the machine is in ``state``, in one sentence for the user."""
    shift_s: float = 0.0
    """Seconds for which the score has continuously exceeded its normal range."""


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """The detector's score of a window together with the alarm's decision."""

    score: WindowScore
    decision: Decision

    @property
    def machine(self) -> str:
        """Name of the machine."""
        return self.score.machine


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a machine's state."""

    machine: str
    event_id: str
    """Unique, so that a message delivered twice can be recognised."""
    state: State
    previous: State
    reason: str
    """One sentence for a person."""
    captured_at: float
    """When the audio that caused it was captured, or the moment where none did; s since epoch."""
    provisional: bool
    score: WindowScore | None = None


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a machine's source is doing; counters run since the monitor was started."""

    machine: str
    state: SourceState
    reason: str
    """One sentence for a person; empty while all is well."""
    device: str
    samples: int
    """Samples delivered, at the model's rate."""
    lost_samples: int
    """Samples lost, computed from the clock, at the model's rate."""
    overflows: int
    """Overflow flags raised by the driver; says that audio was lost, not how much."""
    reopens: int
    last_audio_at: float | None
    """When the last audio was captured, in seconds since the epoch; None before the first."""
    measured_rate_hz: float | None = None
    """Device rate measured against the clock, None before it is known."""


@dataclass(frozen=True, slots=True)
class LearningProgress:
    """How far commissioning has come."""

    machine: str
    learned_s: float
    wanted_s: float
    fitting: bool = False


Record = ScoredWindow | Transition | SourceHealth | LearningProgress
