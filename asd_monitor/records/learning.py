"""Progress of commissioning and of calibration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
