"""The modes of one machine as they are stored in its model file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.normal_range import is_number

DECIMALS = 3
MAX_MODES = 50
MAX_NAME_CHARACTERS = 60

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """Typical value and spread of the log scores of a mode's normal sound.

    Attributes
    ----------
    centre, spread
        ``(1 + voices,)``: of the score, then of every voice; spreads > 0.
    error
        Standard error of ``centre``, from the number of independent blocks.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    error: tuple[float, ...]

    def __post_init__(self) -> None:
        values = (self.centre, self.spread, self.error)
        if len(set(map(len, values))) != 1 or not self.centre:
            raise ValueError("centre, spread and error: expected lists of one length, at least 1")
        if not all(is_number(x) and math.isfinite(x) for part in values for x in part):
            raise ValueError("centre, spread and error: expected finite numbers")
        if min(self.spread) <= 0 or min(self.error) < 0:
            raise ValueError("spread and error: expected numbers above 0")


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of operation.

    Attributes
    ----------
    name
        For the user, such as ``idle``.
    profile_db
        ``(octaves,)``: median level of its blocks.
    level_dbfs
        Median RMS level of its windows.
    blocks
        Number of blocks of ten seconds that were learned.
    scale
        Of its scores; None where the machine has a single mode.
    """

    name: str
    profile_db: tuple[float, ...]
    level_dbfs: float
    blocks: int
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if not is_mode_name(self.name):
            raise ValueError(f"name: expected up to 60 printable characters, got {self.name!r}")
        values = (self.level_dbfs, *self.profile_db)
        if not all(is_number(value) and math.isfinite(value) for value in values):
            raise ValueError("level_dbfs and profile_db: expected finite numbers")
        if type(self.blocks) is not int or self.blocks < 1:
            raise ValueError(f"blocks: expected an integer of at least 1, got {self.blocks!r}")

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values."""
        scale = self.scale
        return {
            "name": self.name,
            "profile_db": [round(level, DECIMALS) for level in self.profile_db],
            "level_dbfs": round(self.level_dbfs, DECIMALS),
            "blocks": self.blocks,
            "centre": None if scale is None else list(scale.centre),
            "spread": None if scale is None else list(scale.spread),
            "error": None if scale is None else list(scale.error),
        }

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Restore what :meth:`to_dict` returned; raise ValueError for anything else."""
        if not isinstance(values, Mapping):
            raise ValueError("expected an object")
        profile, centre = _read_list(values, "profile_db"), values.get("centre")
        scale = None
        if centre is not None:
            scale = Scale(*(_read_list(values, name) for name in ("centre", "spread", "error")))
        level, blocks = values.get("level_dbfs"), values.get("blocks")
        return cls(values.get("name"), profile, level, blocks, scale)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class LearnedModes:
    """All modes of a machine, the quietest first.

    Attributes
    ----------
    modes
        One or more.
    steadiness_db
        How much the levels of a mode change from one window to the next, at most, as the median
        over octaves.
    """

    modes: tuple[Mode, ...]
    steadiness_db: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.modes) <= MAX_MODES:
            raise ValueError(f"modes: expected 1 to {MAX_MODES}, got {len(self.modes)}")
        if len({len(mode.profile_db) for mode in self.modes}) != 1 or not self.octaves:
            raise ValueError("profile_db: expected the same number of octaves in all modes")
        if len({mode.name for mode in self.modes}) != len(self.modes):
            raise ValueError("name: expected a different name for each mode")
        scales = {None if mode.scale is None else len(mode.scale.centre) for mode in self.modes}
        if len(scales) != 1 or (len(self.modes) > 1 and None in scales):
            raise ValueError("scale: expected one of the same size for each of several modes")
        if not is_number(self.steadiness_db) or not 0 <= self.steadiness_db < math.inf:
            raise ValueError("steadiness_db: expected a number of at least 0")

    def __len__(self) -> int:
        """Return the number of modes."""
        return len(self.modes)

    @property
    def octaves(self) -> int:
        """Number of octaves of a profile."""
        return len(self.modes[0].profile_db)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modes."""
        return tuple(mode.name for mode in self.modes)

    @property
    def description(self) -> str:
        """The modes with level and amount of sound, for the user."""
        return "; ".join(
            f"{mode.name} ({mode.level_dbfs:.0f} dBFS, {mode.blocks / 6:.1f} min learned)"
            for mode in self.modes
        )

    def nearest(self, profile: Vector) -> int:
        """Return the index of the mode whose profile is nearest to ``(octaves,)``."""
        return int(self.nearest_of(profile[None])[0])

    def nearest_of(self, profiles: Vector) -> npt.NDArray[np.int64]:
        """Return the index ``(n,)`` of the nearest mode of each of ``(n, octaves)`` profiles."""
        known = np.array([mode.profile_db for mode in self.modes])
        return np.asarray(np.argmin(((profiles[:, None] - known) ** 2).sum(-1), 1), np.int64)

    def adjust(self, scores: Vector, mode: int) -> Vector:
        """Return scores of a mode on the scale of the mode that was learned longest.

        The thresholds of the machine then hold in every mode. Where few blocks of a mode were
        learned, its centre may be higher than it seems, and its spread larger: both are increased
        by their standard errors.

        Parameters
        ----------
        scores
            ``(..., 1 + voices)``: the score, then all voices.
        mode
            Index of the mode.
        """
        own, common = self.modes[mode].scale, self._reference.scale
        if own is None or common is None or len(own.centre) != scores.shape[-1]:
            return scores
        spread, error = np.asarray(own.spread), np.asarray(own.error)
        factor = np.asarray(common.spread) / (spread + error / math.sqrt(2))
        return np.asarray((scores - own.centre - error) * factor + common.centre)

    @property
    def _reference(self) -> Mode:
        return max(self.modes, key=lambda mode: mode.blocks)

    def renamed(self, names: Mapping[str, str]) -> "LearnedModes":
        """Return the modes with other names; ``names`` has the new one of some, by the old one."""
        modes = [replace(mode, name=names.get(mode.name, mode.name)) for mode in self.modes]
        return replace(self, modes=tuple(modes))

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores."""
        return {
            "modes": [mode.to_dict() for mode in self.modes],
            "steadiness_db": round(self.steadiness_db, DECIMALS),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Restore the modes from :meth:`to_dict`; raise ValueError for anything else."""
        modes = values.get("modes")
        if not isinstance(modes, list):
            raise ValueError(f"modes: expected a list, got {modes!r}"[:100])
        steadiness_db = values.get("steadiness_db")
        restored = tuple(Mode.from_dict(mode) for mode in modes)
        return cls(restored, steadiness_db)  # type: ignore[arg-type]


def is_mode_name(name: object) -> bool:
    """Return whether a text can be the name of a mode."""
    if not isinstance(name, str) or name != name.strip():
        return False
    return 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def _read_list(values: Mapping[str, object], name: str) -> tuple[float, ...]:
    found = values.get(name)
    if not isinstance(found, Sequence) or isinstance(found, str) or not all(map(is_number, found)):
        raise ValueError(f"{name}: expected a list of numbers")
    return tuple(map(float, found))
