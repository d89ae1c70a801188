"""The lowest levels at which kinds of fault were detected, to and from JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from asd_monitor.calibration.normal_range import is_number

FORMAT_VERSION = 1
LIMITS_S = (60, 300)
"""Times within which a fault is to be detected, the shortest first."""
REQUIRED_SHARE = 0.8
"""A level counts as detected where this share of the trials detected the fault."""
MIN_SOUND_S = 180.0
"""With less normal sound nothing can be held out."""
MIN_TRIALS = 3
"""With fewer trials nothing is stated."""

Lowest = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class FaultLevels:
    """How quiet a kind of fault was detected in each trial.

    Attributes
    ----------
    kind
        One of :func:`~asd_monitor.synthesis.faults.kinds_at`.
    levels_db
        Levels that were tested, the highest first: RMS of the fault relative to that of the
        machine's sound.
    lowest_db
        By the time within which the fault was to be detected, in s: the lowest level of each trial
        down to which every tested level was detected; None where not even the highest was.
    """

    kind: str
    levels_db: tuple[float, ...]
    lowest_db: Mapping[int, Lowest]

    def share(self, level_db: float, limit_s: int) -> float:
        """Return the share of the trials that detected a level within a time.

        A trial that detected a level counts for all higher levels, so the share never falls as the
        level rises.
        """
        lowest = self.lowest_db[limit_s]
        return sum(one is not None and one <= level_db for one in lowest) / len(lowest)

    def detected_db(self, limit_s: int) -> float | None:
        """Return the lowest level that enough trials detected within a time; None if none was."""
        detected = [
            level for level in self.levels_db if self.share(level, limit_s) >= REQUIRED_SHARE
        ]
        return min(detected, default=None)


@dataclass(frozen=True, slots=True)
class Detectability:
    """Which faults a model can and cannot detect, and how that was measured.

    Attributes
    ----------
    model_sha256
        Of the model file that it was measured for.
    measured_at
        ISO 8601 with a time zone.
    asked_per_month
        False alarms a month that were asked for.
    false_alarms_per_month
        False alarms a month of the rules that were used: those asked for, or the fewest that the
        learned sound supports.
    sound_s
        Length of the normal sound.
    trials
        Number of trials, each with another part of the sound and another fault of each kind.
    alarmed_trials
        Further trials that count nowhere, because their normal sound alone raised the alarm.
    cpu_s
        Processor time of the measurement.
    faults
        One entry for each kind; none where there is a problem.
    problem
        Why nothing could be measured, for the user.
    """

    model_sha256: str
    measured_at: str
    asked_per_month: float
    false_alarms_per_month: float
    sound_s: float
    trials: int = 0
    alarmed_trials: int = 0
    cpu_s: float = 0.0
    faults: tuple[FaultLevels, ...] = ()
    problem: str = ""

    def is_of(self, model_sha256: str, asked_per_month: float) -> bool:
        """Return whether it was measured for a model and a setting."""
        return (self.model_sha256, self.asked_per_month) == (model_sha256, asked_per_month)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values that :meth:`from_dict` restores, and levels derived from them.

        Derived, by kind: ``detected_db``, the lowest detected level, and ``shares`` of the tested
        levels, both by time.
        """
        values = asdict(self)
        values["format_version"] = FORMAT_VERSION
        values["faults"] = [
            {
                "kind": fault.kind,
                "levels_db": list(fault.levels_db),
                "lowest_db": {str(s): list(fault.lowest_db[s]) for s in LIMITS_S},
                "detected_db": {str(s): fault.detected_db(s) for s in LIMITS_S},
                "shares": {
                    str(s): [fault.share(level, s) for level in fault.levels_db] for s in LIMITS_S
                },
            }
            for fault in self.faults
        ]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a result from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If a value is missing or of the wrong type, or the version is not supported.
        """
        restored = dict(values)
        version = restored.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version: expected {FORMAT_VERSION}, got {version!r}")
        try:
            restored["faults"] = tuple(map(_read_fault, restored["faults"]))
            result = cls(**restored)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"a value is missing, unknown or of the wrong type: {error}"
            ) from error
        for name in ("asked_per_month", "false_alarms_per_month", "sound_s", "cpu_s"):
            _check_number(name, getattr(result, name))
        for name in ("model_sha256", "measured_at", "problem"):
            if not isinstance(getattr(result, name), str):
                raise ValueError(f"{name}: expected a text")
        return result


def _read_fault(values: Mapping[str, Any]) -> FaultLevels:
    levels = tuple(map(float, values["levels_db"]))
    lowest = {s: _read_lowest(values["lowest_db"][str(s)]) for s in LIMITS_S}
    if not isinstance(values["kind"], str) or not levels:
        raise ValueError("faults: expected a kind and levels")
    return FaultLevels(values["kind"], levels, lowest)


def _read_lowest(values: Sequence[float | None]) -> Lowest:
    if not values:
        raise ValueError("lowest_db: expected at least one trial")
    for value in values:
        if value is not None:
            _check_number("lowest_db", value)
    return tuple(values)


def _check_number(name: str, value: object) -> None:
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
