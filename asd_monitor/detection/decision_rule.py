"""Everything that the alarm takes from a model file, as one frozen record."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.alarm_rate import (
    BOUTS_FOR_ALARM,
    FALSE_ALARMS_PER_MONTH,
    PATHS,
    blocks_between_alarms,
    exceedance_probability,
)
from asd_monitor.calibration.blocks import block_windows, blocks_per_month
from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.model_file.manifest import Manifest

P_CLEAR = 0.01
"""A window of normal sound scores above the level at which an alarm clears this often."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How the scores of one of a model's targets are judged."""

    target: str
    threshold: float | None
    """A score above this is an exceedance; None where the model file has no threshold."""
    clear_below: float
    """Scores up to this let an alarm clear; infinite where nothing is known of normal sound."""
    normal_range: NormalRange | None
    """Normal range of the score, for display; None where the model file has none."""
    provisional: bool
    """True while too few calibration windows support the threshold."""
    window_samples: int
    sample_rate_hz: int
    levels: LearnedLevels | None = None
    """Range of the learned levels; None where the model file has none: it is never off."""
    voices: VoiceStatistics | None = None
    """None where too little normal sound was learned for a sequential test."""
    blocks_between_alarms: float = math.inf
    """Blocks of normal sound between two false alarms of one rule, as asked for or supported."""
    level_changes: VoiceStatistics | None = None
    """Of the change that all bands have in common; None: changes of level are not judged."""

    @property
    def window_s(self) -> float:
        """Length of a window in s."""
        return self.window_samples / self.sample_rate_hz

    @property
    def supported_false_alarms_per_month(self) -> float | None:
        """Fewest false alarms a month that the learned sound supports; None where unknown."""
        if self.voices is None:
            return None
        return PATHS * blocks_per_month(self.window_s) / self.voices.supported_blocks

    def describe_support(self, false_alarms_per_month: float) -> str:
        """Return how few false alarms the learned sound supports, in one sentence for the user.

        Parameters
        ----------
        false_alarms_per_month
            False alarms that are asked for.
        """
        supported, voices = self.supported_false_alarms_per_month, self.voices
        if supported is None or voices is None:
            return "too little sound was learned to say how many false alarms it supports"
        block_s = block_windows(self.window_s) * self.window_s
        learned = _describe_length(voices.blocks * block_s)
        asked_rate = describe_rate(false_alarms_per_month)
        if supported <= false_alarms_per_month:
            return f"{learned} of sound support {asked_rate}"
        asked = blocks_between_alarms(false_alarms_per_month, self.window_s)
        needed = (asked ** (1 / BOUTS_FOR_ALARM) - 1) * voices.blocks / voices.effective_blocks
        return (
            f"{learned} of sound support {describe_rate(supported)} at best; learn for "
            f"{_describe_length(needed * block_s)} in all to support {asked_rate}"
        )

    @classmethod
    def from_manifest(
        cls,
        manifest: Manifest,
        target: str,
        false_alarms_per_month: float = FALSE_ALARMS_PER_MONTH,
    ) -> Self:
        """Derive the rule of a target from its calibration, or from its stored threshold.

        Parameters
        ----------
        manifest
            Of the model file.
        target
            One of the manifest's targets.
        false_alarms_per_month
            False alarms that are asked for. The learned sound may support only more of them.
        """
        calibration = manifest.calibrations.get(target)
        stored = manifest.thresholds.get(target)
        window_s = manifest.window_samples / manifest.sample_rate_hz
        blocks = blocks_between_alarms(false_alarms_per_month, window_s)
        voices = manifest.voices.get(target)
        if voices is None and calibration is not None:
            voices = _single_voice(calibration, window_s)
        threshold = None if stored is None else stored.value
        if calibration is not None:
            p = exceedance_probability(false_alarms_per_month, window_s)
            threshold = calibration.threshold(p)
        clear_below = math.inf if threshold is None else threshold
        if calibration is not None:
            highest_normal = float(calibration.scores[-1])
            clear_below = min(calibration.threshold(P_CLEAR), highest_normal, clear_below)
        if voices is not None:
            blocks = min(blocks, voices.supported_blocks)
        if calibration is not None and calibration.minute_limit is not None:
            threshold = max(threshold or -math.inf, calibration.minute_limit.at(blocks))
        return cls(
            target=target,
            threshold=threshold,
            clear_below=clear_below,
            normal_range=None if calibration is None else calibration.normal_range,
            provisional=calibration is None or calibration.provisional,
            window_samples=manifest.window_samples,
            sample_rate_hz=manifest.sample_rate_hz,
            levels=manifest.levels.get(target),
            voices=voices,
            blocks_between_alarms=blocks,
            level_changes=manifest.level_changes.get(target),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        values = asdict(self)
        for name in ("clear_below", "blocks_between_alarms"):
            values[name] = values[name] if math.isfinite(values[name]) else None
        if self.normal_range is not None:
            values["normal_range"] = self.normal_range.to_dict()
        for name, statistics in (("voices", self.voices), ("level_changes", self.level_changes)):
            values[name] = None if statistics is None else statistics.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a rule from :meth:`to_dict`."""
        restored = dict(values)
        for name in ("clear_below", "blocks_between_alarms"):
            restored[name] = math.inf if restored[name] is None else restored[name]
        if restored["normal_range"] is not None:
            restored["normal_range"] = NormalRange.from_dict(restored["normal_range"])
        if restored.get("levels") is not None:
            restored["levels"] = LearnedLevels.from_dict(restored["levels"])
        for name in ("voices", "level_changes"):
            if restored.get(name) is not None:
                restored[name] = VoiceStatistics.from_dict(restored[name])
        return cls(**restored)


UNITS_PER_MONTH = {"hour": 720.0, "day": 30.0, "week": 30 / 7, "month": 1.0, "year": 1 / 12}


def describe_rate(per_month: float) -> str:
    """Return a rate of false alarms in the shortest unit in which it is about one or more.

    Rarer ones are given per year.
    """
    counts = {unit: per_month / per for unit, per in UNITS_PER_MONTH.items()}
    unit = next((unit for unit, count in counts.items() if count >= 0.8), "year")
    count = max(1, round(counts[unit]))
    return f"{count} false alarm{'s' if count > 1 else ''} {'an' if unit == 'hour' else 'a'} {unit}"


def _describe_length(seconds: float) -> str:
    """Return a length of sound as a user plans it: ``100 s``, ``5 min`` or ``2 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{math.ceil(seconds / 60 - 0.1)} min"
    return f"{math.ceil(seconds / 3600 - 0.1)} h"


def _single_voice(calibration: Calibration, window_s: float) -> VoiceStatistics | None:
    """Return statistics of the score itself, for a model file without voices.

    Only the scores of windows are known, not their times: windows are taken as blocks, as if all
    windows of a block were equal.
    """
    count = calibration.count // block_windows(window_s)
    scores = calibration.spaced_scores(count)
    number = range(len(scores))
    return VoiceStatistics.fit(
        ["score"], scores[:, None], scores, [*number], [0.0] * len(scores), window_s
    )
