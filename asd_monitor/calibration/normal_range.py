"""How high normal sound scores for ten seconds on end, and how long above that is no chance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import numpy.typing as npt

STRETCH_S = 10.0
"""Windows of about so much sound have one level: windows next to each other are too alike."""
LONGEST_S = 3600.0
"""What lasts for an hour is told, however little is known of normal sound."""

_LEVEL_SHARE = 0.02
_LARGEST_CORRELATION = 0.95
# Few stretches are alike by chance: as if so many more neighbours had shown no likeness.
_UNLIKE_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class UsualRange:
    """The level that normal sound rarely stays above, and how sure that is.

    The *level* of a stretch of sound is the median score of its windows. A lasting shift is one
    stretch after the other above ``level``.

    Attributes
    ----------
    level
        The ``rank``-th largest level of held-out normal sound. Higher = more anomalous.
    rank
        1 where there are fewer than 99 stretches: the largest; of more, 2 % lie at or above.
    stretches
        How many stretches of normal sound were heard.
    independent
        As how many independent ones they count, at most ``stretches``.
    """

    level: float
    rank: int
    stretches: int
    independent: float

    @classmethod
    def fit(
        cls,
        scores: npt.ArrayLike,
        sessions: npt.ArrayLike,
        start_s: npt.ArrayLike,
        window_s: float,
    ) -> Self:
        """Learn the range from held-out scores of normal sound.

        Parameters
        ----------
        scores
            ``(n,)`` scores of windows, n >= 1, finite.
        sessions
            ``(n,)`` integers: windows of different sessions have nothing to do with one another.
        start_s
            ``(n,)``: when each window began, in seconds since some moment of its session.
        window_s
            Length of a window.
        """
        values = np.asarray(scores, dtype=np.float64)
        session, begin_s = np.asarray(sessions), np.asarray(start_s, dtype=np.float64)
        length_s = stretch_windows(window_s) * window_s
        levels: list[float] = []
        follows: list[bool] = []
        for each in np.unique(session):
            inside = session == each
            since_s = begin_s[inside] - begin_s[inside].min()
            # The slack keeps starts that are rounded to samples on their side.
            places = np.floor(since_s / length_s + 1e-6).astype(np.int64)
            kept = np.unique(places)
            levels += [float(np.median(values[inside][places == place])) for place in kept]
            follows += [False, *(np.diff(kept) == 1).tolist()]
        rank = max(1, math.floor(_LEVEL_SHARE * (len(levels) + 1)))
        level = float(np.sort(levels)[-rank])
        return cls(level, rank, len(levels), _independent(np.array(levels), np.array(follows)))

    def lasting_s(self, p: float, window_s: float) -> float:
        """Return how long normal sound stays above ``level`` with probability ``p`` at most.

        All of the next ``b`` stretches lie above the ``k``-th largest of ``n`` exchangeable ones
        with probability ``(k + b - 1)! n! / ((k - 1)! (n + b)!)``, whatever their law. Stretches
        that resemble the one before count for less, on both sides. At most an hour.

        Parameters
        ----------
        p
            In (0, 1).
        window_s
            Length of a window.
        """
        part = self.independent / self.stretches
        stretch_s = stretch_windows(window_s) * window_s / part
        low, high = 1.0, max(1.0, LONGEST_S / stretch_s)
        if self._log_chance(low) <= math.log(p):
            return min(stretch_s, LONGEST_S)
        for _ in range(50):
            middle = (low + high) / 2
            if self._log_chance(middle) <= math.log(p):
                high = middle
            else:
                low = middle
        return min(high * stretch_s, LONGEST_S)

    def _log_chance(self, stretches: float) -> float:
        """Log of the chance that so many independent stretches all lie above the level."""
        rank = max(1.0, self.rank * self.independent / self.stretches)
        above = math.lgamma(rank + stretches) - math.lgamma(rank)
        among = math.lgamma(self.independent + 1 + stretches) - math.lgamma(self.independent + 1)
        return above - among

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        return {
            "level": self.level,
            "rank": self.rank,
            "stretches": self.stretches,
            "independent": self.independent,
        }

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        ValueError
            If a value is missing, not finite, or does not fit the others.
        """
        if not isinstance(values, Mapping):
            raise ValueError("expected an object")
        level, rank = values.get("level"), values.get("rank")
        stretches, independent = values.get("stretches"), values.get("independent")
        if type(level) not in (int, float) or not math.isfinite(cast("float", level)):
            raise ValueError(f"level: expected a finite number, got {level!r}")
        if type(stretches) is not int or stretches < 1:
            raise ValueError(f"stretches: expected a whole number of at least 1, got {stretches!r}")
        if type(rank) is not int or not 1 <= rank <= stretches:
            raise ValueError(f"rank: expected a whole number in [1, stretches], got {rank!r}")
        if type(independent) not in (int, float) or not 0 < cast("float", independent) <= stretches:
            raise ValueError(f"independent: expected more than 0, up to stretches: {independent!r}")
        return cls(float(cast("float", level)), rank, stretches, float(cast("float", independent)))


def stretch_windows(window_s: float) -> int:
    """Return how many windows make a stretch of about ten seconds, at least one."""
    return max(1, round(STRETCH_S / window_s))


def _independent(levels: npt.NDArray[np.float64], follows: npt.NDArray[np.bool_]) -> float:
    """As how many independent stretches these count, judged by how alike neighbours are."""
    count, neighbours = len(levels), np.flatnonzero(follows)
    centred = levels - levels.mean()
    variance = float((centred * centred).mean())
    if len(neighbours) < 2 or variance <= 0.0:
        return float(count)
    alike = float((centred[neighbours] * centred[neighbours - 1]).sum()) / variance
    alike /= len(neighbours) + _UNLIKE_NEIGHBOURS
    correlation = min(max(alike, 0.0), _LARGEST_CORRELATION)
    return count * (1 - correlation) / (1 + correlation)
