"""A machine whose calibration is continued while it is monitored."""

from dataclasses import dataclass, field
from typing import Self

from asd_monitor.calibration.blocks import block_windows
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.normal_sound.band_levels import BandFrames
from asd_monitor.normal_sound.statistics import comparison_window_s
from asd_monitor.recalibration.drift import DAY_S, WEEK_S, Drift, Reference, measure_drift
from asd_monitor.recalibration.extension import Extension, RuleSummary
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.recalibration.hours import RUNNING, HourCollector, read_hours, remove_old_hours
from asd_monitor.recalibration.sample import CalibrationSample
from asd_monitor.recalibration.schedule import is_fit_due
from asd_monitor.recalibration.stretches import StretchCollector
from asd_monitor.records import CalibrationStatus, FloatArray, ScoredWindow

BANDS_INTERVAL_S = 60.0
"""The levels in frequency bands are measured at this interval."""
LONG_COMMISSIONING_S = 7200.0
"""The limits of a commissioning of this length are kept: more sound showed no gain over them."""
TREND_S = 30 * DAY_S
"""How far back it is looked for the beginning of a drift."""


@dataclass
class FollowedMachine:
    """What is known of one machine; used by one thread."""

    name: str
    files: CalibrationFiles
    model_sha256: str
    manifest: Manifest
    false_alarms_per_month: float
    reference: Reference
    rule: DecisionRule
    """In use."""
    collector: StretchCollector
    hours: HourCollector
    sample: CalibrationSample
    extension: Extension | None = None
    """In use; None while the limits are those of the model file."""
    drift: Drift | None = None
    reported: CalibrationStatus | None = None
    hours_removed_s: float = float("-inf")
    fitted_blocks: int = 0
    fitted_s: float = 0.0
    bands_s: float = field(default=float("-inf"))
    status_s: float = field(default=float("-inf"))

    @classmethod
    def begin(
        cls,
        name: str,
        files: CalibrationFiles,
        model: LoadedModel,
        target: str,
        false_alarms_per_month: float,
    ) -> Self | None:
        """Continue from the files of a machine; None where its model has nothing to compare with.

        A sample of another model is discarded, because its scores cannot be compared.
        """
        manifest, sha256 = model.manifest, model.sha256
        rule = DecisionRule.from_manifest(manifest, target, false_alarms_per_month)
        if rule.voices is None or target not in manifest.calibrations:
            return None
        sample, extension = files.read_sample(), files.read_extension()
        if sample is None or (sample.model_sha256, sample.target) != (sha256, target):
            sample = CalibrationSample(sha256, target, rule.window_s)
        machine = cls(
            name,
            files,
            sha256,
            manifest,
            false_alarms_per_month,
            Reference(rule.voices, rule.levels, model.normal_sound.get(target)),
            rule,
            StretchCollector(rule),
            HourCollector(rule, sha256),
            sample,
        )
        if extension is not None and extension.applies_to(sha256, target):
            machine.use(extension, extension.at_s)
        return machine

    def use(self, extension: Extension, now_s: float) -> None:
        """Judge by the limits of an extension from now on."""
        self.extension = extension
        self.rule = extension.make_rule(self.manifest, self.false_alarms_per_month)
        self.fitted_blocks, self.fitted_s = len(self.sample), now_s

    @property
    def learned_s(self) -> float:
        """Length of the held-out sound that commissioning was calibrated with, in seconds."""
        block_s = block_windows(self.rule.window_s) * self.rule.window_s
        return float(self.reference.voices.blocks * block_s)

    @property
    def summary(self) -> RuleSummary:
        """The limits in use."""
        if self.extension is not None:
            return RuleSummary.of(self.rule, self.extension.sound_s)
        seconds = self.manifest.training.get("seconds")
        return RuleSummary.of(self.rule, seconds if isinstance(seconds, int | float) else 0.0)

    def is_fit_due(self, now_s: float) -> bool:
        """Return whether the limits are to be computed again."""
        if self.learned_s >= LONG_COMMISSIONING_S:
            return False
        return is_fit_due(len(self.sample), self.fitted_blocks, now_s - self.fitted_s)

    def is_status_due(self, at_s: float, interval_s: float) -> bool:
        """Return whether the status was reported long enough ago, and count it as reported."""
        if abs(at_s - self.status_s) < interval_s:
            return False
        self.status_s = at_s
        return True

    def is_bands_due(self, window: ScoredWindow) -> bool:
        """Return whether the levels in bands are to be measured at this window."""
        at_s = window.score.captured_at
        if abs(at_s - self.bands_s) < BANDS_INTERVAL_S or window.decision.state not in RUNNING:
            return False
        self.bands_s = at_s
        return True

    @property
    def bands_samples(self) -> int:
        """Length of the sound whose levels in bands are measured, in samples."""
        return round(comparison_window_s(self.rule.window_s) * self.rule.sample_rate_hz)

    def add_bands(self, samples: FloatArray) -> None:
        """Take the levels of some sound into account."""
        if len(samples) == self.bands_samples:
            frames = BandFrames.of(samples, self.rule.sample_rate_hz)
            self.hours.add_bands(frames.mean_db())

    def remove_old_hours(self, now_s: float) -> None:
        """Remove hours that are no longer needed, once a day; raise OSError on failure."""
        if now_s - self.hours_removed_s >= DAY_S:
            self.hours_removed_s = now_s
            remove_old_hours(self.files.hours, now_s)

    def measure_drift(self, now_s: float) -> None:
        """Compare the last week with commissioning."""
        hours = read_hours(self.files.hours, now_s - TREND_S)
        own = [hour for hour in hours if hour.model_sha256 == self.model_sha256]
        self.drift = measure_drift(own, self.reference, now_s - WEEK_S, now_s)
