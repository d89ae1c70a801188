"""Score recordings of normal sound, of any length, to calibrate a model with them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from asd_monitor.audio.files import iter_recording
from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.calibration.blocks import block_windows
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ConfigError
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.recalibration.sample import CalibrationSample
from asd_monitor.recalibration.stretches import STRETCH_BLOCKS, Stretch
from asd_monitor.records import AudioChunk, Quality, WindowScore

BETWEEN_RECORDINGS_S = 3600.0
"""Recordings are placed at this distance in time: they do not follow each other."""
_BLOCK_FRAMES = 65_536


def score_recordings(
    model: LoadedModel,
    target: str,
    paths: Sequence[Path],
    report: Callable[[Path, float], None] = lambda _path, _seconds: None,
) -> CalibrationSample:
    """Score recordings in adjacent windows; the memory does not grow with their length.

    Doubtful windows (clipped, silent ...) are left out, and the rest of a block with them. Of more
    than a day of sound, a part is kept at random.

    Parameters
    ----------
    model, target
        The model, and its target.
    paths
        Recordings of normal sound that the model was not fitted to.
    report
        Called with a recording, and the seconds of sound used so far.

    Raises
    ------
    SourceError
        If a recording cannot be read.
    """
    rule = DecisionRule.from_manifest(model.manifest, target)
    detector = Detector(model, {target: rule})
    sample = CalibrationSample(model.sha256, target, rule.window_s)
    start_s = 0.0
    for path in paths:
        collector = _RecordingCollector(rule, sample, start_s)
        size, rate_hz = rule.window_samples, rule.sample_rate_hz
        windows, first = SlidingWindow(target, size, size, rate_hz), 0
        for samples in iter_recording(path, rate_hz, block_frames=_BLOCK_FRAMES):
            chunk = AudioChunk(samples, first, (first + len(samples)) / rate_hz)
            first += len(samples)
            for score in detector.score(windows.push(chunk)):
                collector.add(score)
        collector.finish()
        start_s += first / rate_hz + BETWEEN_RECORDINGS_S
        report(path, sample.duration_s)
    return sample


def check_unseen(sample: CalibrationSample, model: LoadedModel) -> None:
    """Raise ConfigError if the recordings appear to be those that the model was fitted to.

    Memorised sound scores far below all held-out sound.
    """
    known = model.manifest.calibrations.get(sample.target)
    if known is None or not len(sample):
        return
    lowest, middle = known.spaced_scores(21)[1], float(np.median(sample.scores()))
    if middle < lowest:
        msg = (
            f"the median score of these recordings ({middle:.3g}) is below 95 % of the scores of "
            "unseen normal sound: the model appears to have been learned from them, so they cannot "
            "calibrate it; use other recordings"
        )
        raise ConfigError(msg)


class _RecordingCollector:
    """Cut the scores of one recording into stretches."""

    def __init__(self, rule: DecisionRule, sample: CalibrationSample, start_s: float) -> None:
        self._rule, self._sample, self._start_s = rule, sample, start_s
        self._names = () if rule.voices is None else rule.voices.names
        self._size = block_windows(rule.window_s)
        self._windows: list[WindowScore] = []
        self._first = 0

    def add(self, score: WindowScore) -> None:
        """Take a window into account."""
        if score.quality is not Quality.OK or score.value is None:
            self.finish()
            return
        if not self._windows:
            self._first = score.window_start
        self._windows.append(score)
        if len(self._windows) == self._size * STRETCH_BLOCKS:
            self.finish()

    def finish(self) -> None:
        """Add what there is as a stretch."""
        blocks = len(self._windows) // self._size
        windows, self._windows = self._windows[: blocks * self._size], []
        if not blocks:
            return
        scores = np.array([score.value for score in windows], np.float32)
        voices = scores[:, None]
        if len(self._names) > 1:
            voices = np.array([score.voices for score in windows], np.float32)
        self._sample.add(
            Stretch(
                self._start_s + self._first / self._rule.sample_rate_hz,
                voices.reshape(blocks, self._size, -1).mean(1),
                scores.reshape(blocks, self._size),
            )
        )
