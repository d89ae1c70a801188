"""Decide which sound commissioning learns from, and account for the sound that it rejects."""

import logging
from collections import defaultdict

from asd_monitor.audio.quality import DESCRIPTIONS, MIN_LEVEL_DBFS, assess
from asd_monitor.records import FloatArray, Quality, Rejection

logger = logging.getLogger(__name__)


class RejectedSound:
    """Sound of one machine that was not learned from.

    Parameters
    ----------
    machine
        Name of the machine, for the log.

    Attributes
    ----------
    seconds
        Length of the rejected sound, by reason.
    problem
        Why the newest sound was rejected, and what to do; empty once sound has been accepted.
    latest_description
        The same, kept when sound is accepted.
    """

    def __init__(self, machine: str) -> None:
        self.seconds: defaultdict[Rejection, float] = defaultdict(float)
        self.problem = ""
        self.latest_description = ""
        self._machine = machine
        self._count = 0
        self._latest: Rejection | None = None

    def assess(self, samples: FloatArray, rate_hz: int) -> bool:
        """Return whether a recording can be learned from; account for it if not."""
        assessment, duration_s = assess(samples, rate_hz), len(samples) / rate_hz
        level_dbfs = assessment.level_dbfs
        if assessment.quality is not Quality.OK:
            reason = Rejection(str(assessment.quality))
            self.add(reason, DESCRIPTIONS[assessment.quality], duration_s)
            return False
        if level_dbfs is None or level_dbfs < MIN_LEVEL_DBFS:
            description = (
                f"almost no sound (below {MIN_LEVEL_DBFS:.0f} dBFS): check that the microphone is "
                "connected, and increase its gain"
            )
            self.add(Rejection.QUIET, description, duration_s)
            return False
        return True

    def add(self, reason: Rejection, description: str, duration_s: float) -> None:
        """Account for sound that is not learned from.

        Parameters
        ----------
        reason
            Why.
        description
            The same for the user, with what to do.
        duration_s
            Length of the sound in seconds.
        """
        self.seconds[reason] += duration_s
        self.latest_description = description
        self._count += 1
        total_s = sum(self.seconds.values())
        self.problem = f"nothing is learned: {description}"
        # After the first of a kind, at powers of two: a problem may last for days.
        if reason is not self._latest or not self._count & (self._count - 1):
            expected = reason is Rejection.DUPLICATE
            level = logging.INFO if expected else logging.WARNING
            text = "%s: sound is not learned from (%.0f s so far): %s"
            logger.log(level, text, self._machine, total_s, description)
        self._latest = reason

    def accept(self) -> None:
        """Note that sound was learned from: there is no problem any more."""
        self.problem, self._latest = "", None

    def describe(self) -> str:
        """Return how much sound was rejected for which reasons; empty for none."""
        parts = [f"{seconds:.0f} s {reason}" for reason, seconds in self.seconds.items()]
        return ", ".join(parts)
