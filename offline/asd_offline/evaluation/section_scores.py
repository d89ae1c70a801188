"""Anomaly scores of the clips of one section, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_offline.evaluation.metrics import Floats


@dataclass(frozen=True, slots=True, eq=False)
class SectionScores:
    """Test clips of one section; all arrays have shape ``(clips,)``."""

    score: Floats
    """Higher = more anomalous."""
    label: NDArray[np.int64]
    """0 = normal, 1 = anomaly, -1 = not known."""
    domain: NDArray[np.str_]
    """``source`` or ``target``; empty where there are no domains."""
    decision: NDArray[np.int64]
    """0 = normal, 1 = anomaly, -1 = not decided."""

    @classmethod
    def from_columns(
        cls,
        score: Sequence[float] = (),
        label: Sequence[int | None] = (),
        domain: Sequence[str] | None = None,
        decision: Sequence[int | None] | None = None,
    ) -> "SectionScores":
        """Convert columns of equal length, with None for unknown values."""
        count = len(score)
        return cls(
            np.array(score, dtype=np.float64),
            np.array([-1 if value is None else value for value in label], dtype=np.int64),
            np.array([""] * count if domain is None else domain, dtype=np.str_),
            np.array(
                [-1 if value is None else value for value in decision or [None] * count],
                dtype=np.int64,
            ),
        )

    def select(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> "SectionScores":
        """Return the clips that a mask of shape ``(clips,)`` or an array of indices selects."""
        return SectionScores(
            self.score[index], self.label[index], self.domain[index], self.decision[index]
        )
