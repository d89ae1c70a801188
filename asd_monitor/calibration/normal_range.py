"""Distribution of the 10 s median score of normal sound, and which run above it is significant.

One window above a threshold can be chance; ten minutes of slightly raised scores hardly are. To
say how long is too long, the scores of held-out normal sound are cut into segments of about ten
seconds. The *level* of a segment is the median score of its windows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeGuard

import numpy as np
import numpy.typing as npt

SEGMENT_S = 10.0
"""Length of a segment. Shorter ones resemble their neighbours too much to count as independent."""
MAX_DURATION_S = 3600.0
"""A run of an hour is significant, however little normal sound is known."""

_TAIL_FRACTION = 0.02
_MAX_CORRELATION = 0.95
# The correlation of a few segments is mostly noise: it is shrunk as if this many more pairs of
# neighbours, uncorrelated, had been observed.
_UNCORRELATED_PRIOR_PAIRS = 5


@dataclass(frozen=True, slots=True)
class NormalRange:
    """Upper end of the segment levels of normal sound, with the amount of evidence behind it.

    A sustained shift is a run of segments above ``level``.

    Attributes
    ----------
    level
        The ``rank``-th largest segment level of held-out normal sound. Higher = more anomalous.
    rank
        1 (the largest level) up to 98 segments; beyond that, 2 % of the levels are at or above.
    segments
        Number of segments of normal sound.
    effective_segments
        Effective sample size: the number of independent segments they are worth, in
        (0, ``segments``].
    """

    level: float
    rank: int
    segments: int
    effective_segments: float

    @classmethod
    def fit(
        cls,
        scores: npt.ArrayLike,
        sessions: npt.ArrayLike,
        start_s: npt.ArrayLike,
        window_s: float,
    ) -> Self:
        """Estimate the range from held-out scores of normal sound.

        Parameters
        ----------
        scores
            ``(n,)`` scores of windows, n >= 1, finite.
        sessions
            ``(n,)`` integers; windows of different sessions are independent.
        start_s
            ``(n,)`` start of each window in seconds, from any origin within its session.
        window_s
            Length of a window.
        """
        values = np.asarray(scores, dtype=np.float64)
        session, begin_s = np.asarray(sessions), np.asarray(start_s, dtype=np.float64)
        segment_s = count_segment_windows(window_s) * window_s
        levels: list[float] = []
        follows: list[bool] = []
        for name in np.unique(session):
            inside = session == name
            since_s = begin_s[inside] - begin_s[inside].min()
            # Starts are rounded to samples; 1e-6 keeps one at a border in its own segment.
            index = np.floor(since_s / segment_s + 1e-6).astype(np.int64)
            present = np.unique(index)
            levels += [float(np.median(values[inside][index == i])) for i in present]
            follows += [False, *(np.diff(present) == 1).tolist()]
        rank = max(1, math.floor(_TAIL_FRACTION * (len(levels) + 1)))
        level = float(np.sort(levels)[-rank])
        effective = _estimate_effective_sample_size(np.array(levels), np.array(follows))
        return cls(level, rank, len(levels), effective)

    def min_duration_s(self, p: float, window_s: float) -> float:
        """Return the run length that normal sound reaches with probability ``p`` at most.

        The next ``b`` segments all lie above the ``k``-th largest of ``n`` exchangeable ones with
        probability ``(k + b - 1)! n! / ((k - 1)! (n + b)!)``, for every distribution of levels.
        Correlated segments count for less, both among the ``n`` and among the ``b``.

        Parameters
        ----------
        p
            In (0, 1).
        window_s
            Length of a window.

        Returns
        -------
        float
            In seconds; at most ``MAX_DURATION_S``.
        """
        independence = self.effective_segments / self.segments
        segment_s = count_segment_windows(window_s) * window_s / independence
        low, high = 1.0, max(1.0, MAX_DURATION_S / segment_s)
        if self._compute_log_probability(low) <= math.log(p):
            return min(segment_s, MAX_DURATION_S)
        # The probability falls with the run length, here a real number: bisect.
        for _ in range(50):
            middle = (low + high) / 2
            if self._compute_log_probability(middle) <= math.log(p):
                high = middle
            else:
                low = middle
        return min(high * segment_s, MAX_DURATION_S)

    def _compute_log_probability(self, run: float) -> float:
        """Log probability that ``run`` independent segments all lie above the level."""
        rank = max(1.0, self.rank * self.effective_segments / self.segments)
        count = self.effective_segments
        numerator = math.lgamma(rank + run) - math.lgamma(rank)
        return numerator - (math.lgamma(count + 1 + run) - math.lgamma(count + 1))

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        return {
            "level": self.level,
            "rank": self.rank,
            "stretches": self.segments,
            "independent": self.effective_segments,
        }

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Restore a range from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If a value is missing, not finite, or does not fit the others.
        """
        if not isinstance(values, Mapping):
            raise ValueError("expected an object")
        level, rank = values.get("level"), values.get("rank")
        segments, effective = values.get("stretches"), values.get("independent")
        if not is_number(level) or not math.isfinite(level):
            raise ValueError(f"level: expected a finite number, got {level!r}")
        if type(segments) is not int or segments < 1:
            raise ValueError(f"stretches: expected an integer of at least 1, got {segments!r}")
        if type(rank) is not int or not 1 <= rank <= segments:
            raise ValueError(f"rank: expected an integer in [1, stretches], got {rank!r}")
        if not is_number(effective) or not 0 < effective <= segments:
            raise ValueError(f"independent: expected a number in (0, stretches], got {effective!r}")
        return cls(float(level), rank, segments, float(effective))


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value from JSON is a number; booleans are not."""
    return type(value) in (int, float)


def count_segment_windows(window_s: float) -> int:
    """Return the number of windows in a segment of about ten seconds, at least one."""
    return max(1, round(SEGMENT_S / window_s))


def _estimate_effective_sample_size(
    levels: npt.NDArray[np.float64], follows: npt.NDArray[np.bool_]
) -> float:
    """Return ``n (1 - r) / (1 + r)`` with ``r`` the lag-1 autocorrelation, as in an AR(1) process.

    ``follows[i]``: segment ``i`` directly follows segment ``i - 1``.
    """
    count, neighbours = len(levels), np.flatnonzero(follows)
    centred = levels - levels.mean()
    variance = float((centred * centred).mean())
    if len(neighbours) < 2 or variance <= 0.0:
        return float(count)
    covariance = float((centred[neighbours] * centred[neighbours - 1]).sum()) / variance
    correlation = covariance / (len(neighbours) + _UNCORRELATED_PRIOR_PAIRS)
    correlation = min(max(correlation, 0.0), _MAX_CORRELATION)
    return count * (1 - correlation) / (1 + correlation)
