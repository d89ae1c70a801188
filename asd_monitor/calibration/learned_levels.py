"""Range of the sound levels that were learned, from which a machine is recognised as off."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from asd_monitor.calibration.normal_range import is_number


@dataclass(frozen=True, slots=True)
class LearnedLevels:
    """Levels of the windows of normal sound that a model was learned from, in dBFS.

    Attributes
    ----------
    quietest_dbfs, median_dbfs, loudest_dbfs
        RMS level of a window without its constant offset, in dB relative to full scale.

    Raises
    ------
    ValueError
        If the levels are not finite or not in this order.
    """

    quietest_dbfs: float
    median_dbfs: float
    loudest_dbfs: float

    def __post_init__(self) -> None:
        levels = [self.quietest_dbfs, self.median_dbfs, self.loudest_dbfs]
        if not all(is_number(level) and math.isfinite(level) for level in levels):
            msg = f"expected finite levels, got {levels}"
            raise ValueError(msg)
        if levels != sorted(levels):
            msg = f"expected the quietest, the median and the loudest level, got {levels}"
            raise ValueError(msg)

    @classmethod
    def fit(cls, levels_dbfs: Sequence[float]) -> Self | None:
        """Return the range of levels; None without any."""
        if not levels_dbfs:
            return None
        ordered = sorted(round(float(level), 2) for level in levels_dbfs)
        return cls(ordered[0], ordered[len(ordered) // 2], ordered[-1])

    def to_dict(self) -> dict[str, float]:
        """Return JSON-ready values that :meth:`from_dict` restores."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Restore the range from :meth:`to_dict`; raise ValueError for anything else."""
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            msg = f"expected {sorted(expected)}, got {sorted(values)}"
            raise ValueError(msg)
        return cls(**values)  # type: ignore[arg-type]
