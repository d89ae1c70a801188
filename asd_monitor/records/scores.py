"""The detector's result for a window."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from asd_monitor.records.audio import Quality


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
    octaves_db: npt.NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    """Levels of its octaves, if they were measured; not published."""
    elsewhere: str = ""
    """In which other machine's microphone its unusual sound is stronger, and by how much, for the
    user; empty where it is not."""
