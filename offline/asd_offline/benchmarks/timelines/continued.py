"""Synthetic weeks whose calibration is extended while they are monitored."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.recalibration.extension import fit_extension
from asd_monitor.recalibration.sample import CalibrationSample
from asd_monitor.recalibration.schedule import is_fit_due
from asd_monitor.recalibration.stretches import StretchCollector
from asd_monitor.records import Decision, ScoredWindow, WindowScore


class ContinuedCalibration:
    """An alarm whose limits are fitted again to the normal sound of monitoring.

    Parameters
    ----------
    manifest
        Of the model; its only target is monitored.
    settings
        Settings of the alarm.
    """

    def __init__(self, manifest: Manifest, settings: AlarmSettings) -> None:
        (self._target,) = manifest.targets
        self._manifest, self._settings = manifest, settings
        rate = settings.false_alarms_per_month
        self.rule = DecisionRule.from_manifest(manifest, self._target, rate)
        self._alarm = Alarm("timeline", settings, "timeline")
        self._alarm.configure(self.rule, at=0.0)
        self.sample = CalibrationSample("", self._target, self.rule.window_s)
        self._collector = StretchCollector(self.rule)
        self._fitted_blocks = 0
        self._fitted_s = 0.0
        self.fits = 0

    def update(self, score: WindowScore) -> Decision:
        """Take a window into account, and fit the limits again when that is due."""
        score = replace(score, threshold=self.rule.threshold)
        decision, _ = self._alarm.update(score)
        stretches = self._collector.add(ScoredWindow(score, decision))
        for stretch in stretches:
            self.sample.add(stretch, score.captured_at)
        since_s = score.captured_at - self._fitted_s
        if stretches and is_fit_due(len(self.sample), self._fitted_blocks, since_s):
            self._fit(score.captured_at)
        return decision

    def _fit(self, at_s: float) -> None:
        extension = fit_extension(self.sample, self._manifest, at_s)
        if extension is not None:
            self.fits += 1
            self._fitted_blocks, self._fitted_s = len(self.sample), at_s
            self.rule = extension.make_rule(self._manifest, self._settings.false_alarms_per_month)
            self._alarm.adjust(self.rule)


def decide(
    scores: Iterable[WindowScore], alarm: ContinuedCalibration
) -> Iterator[tuple[WindowScore, Decision]]:
    """Yield the scores of a stream with the decisions on them."""
    for score in scores:
        yield score, alarm.update(score)
