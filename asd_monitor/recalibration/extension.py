"""An extension: calibration and voices of a longer sample, which replace those of a model file."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.longer_sample import (
    MIN_BLOCKS,
    UNATTENDED,
    Bounds,
    fit_calibration,
    fit_voices,
)
from asd_monitor.calibration.score_text import format_score
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.recalibration.sample import CalibrationSample
from asd_monitor.storage.durable import make_folder_durably, write_durably

VERSION = 1


@dataclass(frozen=True, slots=True)
class Extension:
    """Result of a longer sample for one target of one model."""

    model_sha256: str
    target: str
    at_s: float
    """When it was fitted, in seconds since the epoch."""
    sound_s: float
    """Length of the sample."""
    calibration: Calibration
    voices: VoiceStatistics

    def extend(self, manifest: Manifest) -> Manifest:
        """Return a manifest with the calibration and the voices of the longer sample."""
        return replace(
            manifest,
            calibrations={**manifest.calibrations, self.target: self.calibration},
            voices={**manifest.voices, self.target: self.voices},
        )

    def make_rule(
        self, manifest: Manifest, false_alarms_per_month: float, bounds: Bounds = UNATTENDED
    ) -> DecisionRule:
        """Return the decision rule of the longer sample, with its threshold within bounds.

        Parameters
        ----------
        manifest
            Of the model file.
        false_alarms_per_month
            False alarms that are asked for.
        bounds
            What may change.
        """
        before = DecisionRule.from_manifest(manifest, self.target, false_alarms_per_month)
        after = DecisionRule.from_manifest(
            self.extend(manifest), self.target, false_alarms_per_month
        )
        if before.threshold is None or after.threshold is None:
            return after
        if math.isinf(bounds.widening):
            return after
        known = manifest.calibrations.get(self.target)
        middle = before.threshold if known is None else float(known.spaced_scores(3)[1])
        highest = middle + bounds.widening * (before.threshold - middle)
        return replace(
            after,
            threshold=min(after.threshold, highest),
            clear_below=min(after.clear_below, highest),
        )

    def applies_to(self, model_sha256: str, target: str) -> bool:
        """Return whether it was fitted to scores of this model and target."""
        return (self.model_sha256, self.target) == (model_sha256, target)

    def to_json(self) -> bytes:
        """Return the content of a file."""
        values = {
            "version": VERSION,
            "model_sha256": self.model_sha256,
            "target": self.target,
            "at_s": self.at_s,
            "sound_s": self.sound_s,
            "calibration": self.calibration.to_dict(),
            "voices": self.voices.to_dict(),
        }
        return json.dumps(values, allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Restore an extension from :meth:`to_json`; raise ValueError if it is damaged."""
        values = json.loads(content)
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise ValueError(f"expected an object of version {VERSION}")
        try:
            return cls(
                str(values["model_sha256"]),
                str(values["target"]),
                float(values["at_s"]),
                float(values["sound_s"]),
                Calibration.from_dict(values["calibration"]),
                VoiceStatistics.from_dict(values["voices"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"missing or invalid: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file; None where there is none.

        Raises
        ------
        ValueError
            If it is damaged.
        OSError
            If it cannot be read.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return cls.from_json(content)

    def write(self, path: Path) -> None:
        """Replace a file atomically; raise OSError if it cannot be written."""
        make_folder_durably(path.parent)
        write_durably(path, self.to_json(), mode=0o600)


def fit_extension(
    sample: CalibrationSample, manifest: Manifest, at_s: float, bounds: Bounds = UNATTENDED
) -> Extension | None:
    """Fit an extension to a sample.

    Parameters
    ----------
    sample
        Stretches of normal operation.
    manifest
        Of the model file that scored them.
    at_s
        Present time, in seconds since the epoch.
    bounds
        What may change.

    Returns
    -------
    Extension or None
        None while the sample is worth less than that of commissioning, or the model file has too
        little to compare with.
    """
    target, window_s = sample.target, sample.window_s
    commissioned = DecisionRule.from_manifest(manifest, target).voices
    known = manifest.calibrations.get(target)
    if commissioned is None or known is None or len(sample) < MIN_BLOCKS:
        return None
    blocks, scores = sample.blocks(), sample.scores()
    compared = blocks.first_voices(commissioned.combined)
    if compared.count_effective(longest_lag=1) < commissioned.effective_blocks:
        return None
    normal_range = known.normal_range if math.isfinite(bounds.widening) else None
    calibration = fit_calibration(blocks, scores, window_s, normal_range)
    voices = fit_voices(commissioned, blocks, scores, bounds)
    return Extension(sample.model_sha256, target, at_s, sample.duration_s, calibration, voices)


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """What is compared of two decision rules."""

    threshold: float | None
    normal_range: float | None
    evidence_limit: float | None
    sound_min: float
    supported_per_month: float | None
    provisional: bool

    @classmethod
    def of(cls, rule: DecisionRule, sound_s: float) -> Self:
        """Summarise a rule that was learned from ``sound_s`` of sound."""
        voices, blocks = rule.voices, rule.blocks_between_alarms
        limit = None
        if voices is not None and math.isfinite(blocks):
            limit = voices.evidence_limit.at(blocks)
        return cls(
            rule.threshold,
            None if rule.normal_range is None else rule.normal_range.level,
            limit,
            sound_s / 60,
            rule.supported_false_alarms_per_month,
            rule.provisional,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


ROWS: Mapping[str, str] = {
    "threshold": "threshold",
    "normal_range": "normal range up to",
    "evidence_limit": "evidence for an alarm",
    "sound_min": "normal sound, min",
    "supported_per_month": "false alarms a month supported",
    "provisional": "provisional",
}
"""Rows of the comparison of two rules, by attribute."""


def compare_rules(before: RuleSummary, after: RuleSummary) -> list[tuple[str, str, str]]:
    """Return name, value before and value after of everything that is compared."""
    return [
        (name, _format(getattr(before, key)), _format(getattr(after, key)))
        for key, name in ROWS.items()
    ]


def describe_change(before: RuleSummary, after: RuleSummary) -> str:
    """Return the comparison of two rules on one line."""
    return "; ".join(f"{name} {old} -> {new}" for name, old, new in compare_rules(before, after))


def _format(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_score(value)
