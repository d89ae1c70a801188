"""Classify unusual windows: speech-like, a vehicle-like swell, or an impact.

Speech changes its spectrum from syllable to syllable, two to eight times a second. A machine may
be modulated at the same rate, but repeats one sound, or noise: its spectra are as similar over
seconds as they are from frame to frame, or differ from frame to frame.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from asd_monitor.detection.passing.excess import Excess, UsualSound
from asd_monitor.records import PassingSound

NOTABLE_P = 0.05
"""Windows that are rarer than this in normal sound are classified; the others are usual sound."""
USUAL_EVERY_S = 8.0
"""A normal window is added to the usual sound at most this often."""
SPEECH_LEVEL_DB = -3.0
MIN_SPEECH_SHARE = 0.8
MIN_LOW_VOICE_SHARE = 0.6
MAX_LOW_SHARE = 0.95
MIN_SYLLABLE_SHARE = 0.25
MAX_SPEECH_DUTY = 0.42
"""Syllables and pauses leave less of the time than a sound that continues."""
MIN_NEAR_SIMILARITY = 0.8
MAX_FAR_SIMILARITY = 0.75
IMPACT_PEAK_DB = 5.0
MAX_IMPACT_DUTY = 0.12
VEHICLE_LEVEL_DB = -2.0
MIN_VEHICLE_LOW_SHARE = 0.75
MAX_VEHICLE_SIMILARITY = 0.9
"""Noise is less similar from frame to frame than a tone."""
SWELL_S = 6.0
SWELL_DB = 2.5
"""A passing vehicle becomes louder or quieter by this much within that time."""
QUIET_DB = -10.0
"""Excess of windows without a notable one, for the swell."""


class PassingSoundClassifier:
    """Classify the windows of one machine, in their order.

    Parameters
    ----------
    window_samples, sample_rate_hz
        Length and sample rate of the windows.
    """

    def __init__(self, window_samples: int, sample_rate_hz: int) -> None:
        self._window_s = window_samples / sample_rate_hz
        self._rate_hz = sample_rate_hz
        self._usual = UsualSound(sample_rate_hz)
        self.reset()

    def reset(self) -> None:
        """Forget the latest windows, because other sound follows; the usual sound is kept."""
        self._levels: deque[tuple[float, float]] = deque()
        self._added_at = -np.inf

    def classify(
        self, samples: npt.NDArray[np.float32], start: int, p_value: float | None
    ) -> PassingSound | None:
        """Return what kind of passing sound a window contains; None for none.

        Parameters
        ----------
        samples
            ``(window_samples,)``.
        start
            Index of the first sample.
        p_value
            How often normal sound scores as high.
        """
        if p_value is None:
            return None
        start_s = start / self._rate_hz
        if self._levels and start_s < self._levels[-1][0]:
            self.reset()
        if p_value >= NOTABLE_P:
            if start_s - self._added_at >= USUAL_EVERY_S:
                self._added_at = start_s
                self._usual.add(samples)
            self._swell_db(start_s, QUIET_DB)
            return None
        excess = self._usual.measure(samples)
        swell_db = self._swell_db(start_s, QUIET_DB if excess is None else excess.level_db)
        return None if excess is None else classify_excess(excess, swell_db)

    def _swell_db(self, start_s: float, level_db: float) -> float:
        """Return by how much the level has changed within the time of a swell."""
        level_db = max(level_db, QUIET_DB)
        self._levels.append((start_s, level_db))
        while self._levels[0][0] < start_s - SWELL_S - self._window_s / 2:
            self._levels.popleft()
        earlier_s, earlier_db = self._levels[0]
        return abs(level_db - earlier_db) if start_s - earlier_s >= SWELL_S / 2 else 0.0


def classify_excess(excess: Excess, swell_db: float) -> PassingSound | None:
    """Return the kind of passing sound that an excess fits; None for none."""
    if _is_speech(excess):
        return PassingSound.SPEECH
    if excess.duty <= MAX_IMPACT_DUTY and excess.peak_db >= IMPACT_PEAK_DB:
        return PassingSound.IMPACT
    if (
        excess.level_db >= VEHICLE_LEVEL_DB
        and excess.low_share >= MIN_VEHICLE_LOW_SHARE
        and excess.near_similarity <= MAX_VEHICLE_SIMILARITY
        and swell_db >= SWELL_DB
    ):
        return PassingSound.VEHICLE
    return None


def _is_speech(excess: Excess) -> bool:
    return (
        excess.level_db >= SPEECH_LEVEL_DB
        and excess.speech_share >= MIN_SPEECH_SHARE
        and excess.low_voice_share >= MIN_LOW_VOICE_SHARE
        and excess.low_share <= MAX_LOW_SHARE
        and excess.syllable_share >= MIN_SYLLABLE_SHARE
        and excess.duty <= MAX_SPEECH_DUTY
        and excess.near_similarity >= MIN_NEAR_SIMILARITY
        and excess.far_similarity <= MAX_FAR_SIMILARITY
    )
