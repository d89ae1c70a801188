"""The manifest of a model file: validated plain values, to and from JSON."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal, Self, TypeVar, cast, get_args

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import is_number
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.modes.learned import LearnedModes

FORMAT_VERSION = 1
MAX_NAME_LENGTH = 200
MAX_CHANNELS = 2
"""Channels that a model may use: near the machine, and away from it."""

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Aggregation = Literal["mean", "max", "top"]
"""How a clip's score is computed from its windows: mean, maximum, or mean of the highest tenth."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A stored threshold; a score above ``value`` is an exceedance."""

    value: float
    p: float
    """Intended probability that normal sound scores above ``value``, in (0, 1)."""
    rule: str
    """How ``value`` was derived, in one sentence."""

    def __post_init__(self) -> None:
        _check(_is_finite(self.value), "threshold value", "a finite number", self.value)
        _check(_is_finite(self.p) and 0 < self.p < 1, "threshold p", "in (0, 1)", self.p)
        _check(isinstance(self.rule, str), "threshold rule", "a sentence", self.rule)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of a model: its input, its targets, their thresholds, and its origin.

    Attributes
    ----------
    name, revision
        Of the model, for users; not empty.
    targets
        Names that the module's ``target`` argument indexes: ``fan``, ``fan/id_00``,
        ``fan/section_00``, or a machine's own name.
    sample_rate_hz, window_samples, hop_samples
        Input of the module, and the default distance between the starts of windows.
    aggregation
        How a clip's score is computed from the scores of its windows.
    calibrations, thresholds
        By target; a target may lack either.
    levels
        Levels of the learned sound, by target; a target may lack them.
    voices
        Statistics of the voices of normal sound by target; none in files of earlier versions.
    modes
        Modes of operation by target; none in files of earlier versions. Calibrations and voices
        are of scores that are adjusted to the mode.
    level_changes
        Statistics of the changes of level that all bands of normal sound have in common, in dB, by
        target; none in files of earlier versions.
    channels
        Channels of a window, from the first of the recording on. With one, windows are
        ``(window_samples,)``; with two, those of a microphone near the machine and one away from
        it, ``(channels, window_samples)``.
    training
        Origin of the model: ``fingerprint`` (SHA-256 of the training data), ``recordings``,
        ``seconds``, ``versions``, ``microphones`` (id, name and USB port of each), ...
    description
        Any further facts, such as the settings of the front end.
    created_at
        ISO 8601 with a time zone; by default the current time.

    Raises
    ------
    ValueError
        If a value is of the wrong type, not finite, or does not fit the others.
    """

    name: str
    revision: str
    targets: tuple[str, ...]
    sample_rate_hz: int
    window_samples: int
    hop_samples: int
    aggregation: Aggregation = "mean"
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    levels: Mapping[str, LearnedLevels] = field(default_factory=dict)
    training: Mapping[str, Json] = field(default_factory=dict)
    description: Mapping[str, Json] = field(default_factory=dict)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION
    voices: Mapping[str, VoiceStatistics] = field(default_factory=dict)
    modes: Mapping[str, LearnedModes] = field(default_factory=dict)
    level_changes: Mapping[str, VoiceStatistics] = field(default_factory=dict)
    channels: int = 1

    def __post_init__(self) -> None:
        for name in ("name", "revision", "created_at"):
            _check(_is_text(getattr(self, name)), name, "a text", getattr(self, name))
        _check_time(self.created_at)
        are_names = isinstance(self.targets, tuple) and all(map(_is_text, self.targets))
        are_distinct = are_names and 0 < len(self.targets) == len(set(self.targets))
        _check(are_distinct, "targets", "one or more distinct names", self.targets)
        for name, low, high in (
            ("sample_rate_hz", 1000, 768_000),
            ("window_samples", 1, 2**31),
            ("hop_samples", 1, self.window_samples),
            ("format_version", FORMAT_VERSION, FORMAT_VERSION),
            ("channels", 1, MAX_CHANNELS),
        ):
            value = getattr(self, name)
            is_valid = type(value) is int and low <= value <= high
            _check(is_valid, name, f"an integer in [{low}, {high}]", value)
        choices = get_args(Aggregation)
        _check(self.aggregation in choices, "aggregation", f"one of {choices}", self.aggregation)
        for name, kind in (
            ("calibrations", Calibration),
            ("thresholds", Threshold),
            ("levels", LearnedLevels),
            ("voices", VoiceStatistics),
            ("modes", LearnedModes),
            ("level_changes", VoiceStatistics),
        ):
            for target, value in getattr(self, name).items():
                _check(target in self.targets, name, f"targets from {self.targets}", target)
                _check(isinstance(value, kind), f"{name}[{target}]", kind.__name__, value)
        for name in ("training", "description"):
            _check_json(name, getattr(self, name))

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Shape of a window as the module receives it."""
        if self.channels == 1:
            return (self.window_samples,)
        return self.channels, self.window_samples

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-ready values that :meth:`from_dict` restores."""
        calibrations = {
            target: calibration.to_dict() for target, calibration in self.calibrations.items()
        }
        thresholds = {target: asdict(threshold) for target, threshold in self.thresholds.items()}
        levels = {target: levels.to_dict() for target, levels in self.levels.items()}
        voices = {target: statistics.to_dict() for target, statistics in self.voices.items()}
        modes = {target: modes.to_dict() for target, modes in self.modes.items()}
        changes = {target: changes.to_dict() for target, changes in self.level_changes.items()}
        return {
            "format_version": self.format_version,
            "name": self.name,
            "revision": self.revision,
            "created_at": self.created_at,
            "targets": list(self.targets),
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self.window_samples,
            "hop_samples": self.hop_samples,
            "aggregation": self.aggregation,
            "calibrations": cast("Json", calibrations),
            "thresholds": cast("Json", thresholds),
            "levels": cast("Json", levels),
            "voices": cast("Json", voices),
            "modes": cast("Json", modes),
            "level_changes": cast("Json", changes),
            "channels": self.channels,
            "training": self.training,
            "description": self.description,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Restore a manifest from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If the format version is not supported, or a value is missing, unknown, or invalid.
        """
        _check_version(values.get("format_version"))
        expected = set(cls.__dataclass_fields__)
        # Files of earlier versions do not have these.
        restored = {
            "levels": {},
            "voices": {},
            "modes": {},
            "level_changes": {},
            "channels": 1,
            **values,
        }
        _check(set(restored) == expected, "entries", f"{sorted(expected)}", sorted(values))
        targets = restored["targets"]
        _check(isinstance(targets, list), "targets", "a list", targets)
        restored["targets"] = tuple(cast("list[str]", targets))
        for name, read in (
            ("calibrations", Calibration.from_dict),
            ("thresholds", _read_threshold),
            ("levels", LearnedLevels.from_dict),
            ("voices", VoiceStatistics.from_dict),
            ("modes", LearnedModes.from_dict),
            ("level_changes", VoiceStatistics.from_dict),
        ):
            restored[name] = _read_by_target(restored[name], name, read)
        for name in ("training", "description"):
            _check(isinstance(restored[name], dict), name, "an object", restored[name])
        return cls(**restored)  # type: ignore[arg-type]


def _check(is_valid: bool, name: str, expected: str, found: object) -> None:
    if not is_valid:
        msg = f"{name}: expected {expected}, got {repr(found)[:80]}"
        raise ValueError(msg)


def _check_version(version: object) -> None:
    _check(type(version) is int and version >= 1, "format_version", "an integer", version)
    if version != FORMAT_VERSION:
        msg = (
            f"format_version: this program reads version {FORMAT_VERSION}, the file has version "
            f"{version}; update asd-monitor"
        )
        raise ValueError(msg)


def _check_time(value: str) -> None:
    try:
        zone = datetime.fromisoformat(value).tzinfo
    except ValueError:
        zone = None
    _check(zone is not None, "created_at", "an ISO 8601 time with a time zone", value)


def _check_json(name: str, value: object) -> None:
    _check(isinstance(value, Mapping), name, "a mapping", value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"{name}: expected values that JSON can hold: {error}"
        raise ValueError(msg) from error


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and value.isprintable()


def _is_finite(value: object) -> bool:
    return is_number(value) and math.isfinite(value)


def _read_by_target(
    values: object, name: str, read: Callable[[Mapping[str, object]], _Value]
) -> dict[str, _Value]:
    _check(isinstance(values, dict), name, "an object", values)
    restored = {}
    for target, value in cast("dict[str, object]", values).items():
        _check(isinstance(value, dict), f"{name}[{target}]", "an object", value)
        try:
            restored[target] = read(cast("dict[str, object]", value))
        except ValueError as error:
            msg = f"{name}[{target}]: {error}"
            raise ValueError(msg) from error
    return restored


def _read_threshold(values: Mapping[str, object]) -> Threshold:
    _check(set(values) == {"value", "p", "rule"}, "entries", "value, p, rule", sorted(values))
    return Threshold(**values)  # type: ignore[arg-type]
