"""Normal range of the score, by the median score of every ten seconds of normal sound."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeGuard

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import cut_blocks

_TAIL_FRACTION = 0.02


@dataclass(frozen=True, slots=True)
class NormalRange:
    """Upper end of the segment levels of normal sound, with the amount of evidence behind it.

    A segment is a block of ten seconds; its level is the median score of its windows.

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
        values = np.asarray(scores, dtype=np.float64)[:, None]
        blocks = cut_blocks(values, sessions, start_s, window_s, np.median)
        rank = max(1, math.floor(_TAIL_FRACTION * (len(blocks) + 1)))
        level = float(np.sort(blocks.means[:, 0])[-rank])
        return cls(level, rank, len(blocks), blocks.count_effective())

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
