"""Audio that passes from the sources to the detector, and the health of a source."""

from dataclasses import dataclass
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
