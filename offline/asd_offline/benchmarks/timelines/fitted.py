"""A quick-start detector, and streams that are put together from scored parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from asd_monitor import model_file
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.modes.profile import window_profile
from asd_monitor.modes.tracker import ModeTracker
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import FloatArray, Window, WindowScore
from asd_offline.timeline.labels import Span
from asd_offline.timeline.outcome import StreamOutcome, evaluate_stream
from asd_offline.timeline.trace import Trace, trace_scores

SAMPLE_RATE_HZ = 16_000
TARGET = "machine"


@dataclass(frozen=True, slots=True)
class Part:
    """Scores of the adjacent windows of some sound, from its start."""

    scores: tuple[WindowScore, ...]
    n_samples: int
    label: str = ""
    """Of a fault; empty: normal sound."""
    profiles: tuple[npt.NDArray[np.float64], ...] = ()
    """Of the windows; the mode depends on the parts before, so scores are not yet adjusted."""


class FittedMachine:
    """A quick-start detector with the decision rule of the live monitor.

    Only windows that do not overlap are scored, because the alarm uses no others.

    Parameters
    ----------
    recordings
        Normal sound to learn.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        fitted = fit(recordings, target=TARGET, sample_rate_hz=SAMPLE_RATE_HZ)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.asd"
            model_file.save(path, fitted.module, fitted.manifest, normal_sound=fitted.normal_sound)
            model = model_file.load(path, "cpu")
        self.rule = DecisionRule.from_manifest(model.manifest, TARGET)
        self.modes = model.manifest.modes[TARGET]
        model.manifest = replace(model.manifest, modes={})
        self._detector = Detector(model, {TARGET: self.rule})

    def score(self, samples: FloatArray, label: str = "") -> Part:
        """Score ``(n,)`` sound at 16 kHz."""
        size = self.rule.window_samples
        windows = [
            Window(TARGET, row, index * size, (index + 1) * size / SAMPLE_RATE_HZ)
            for index, row in enumerate(clip_windows(samples, size, size))
        ]
        profiles = [window_profile(window.samples, SAMPLE_RATE_HZ) for window in windows]
        scores = tuple(self._detector.score(windows))
        return Part(scores, len(samples), label, tuple(profiles))

    def play(self, name: str, parts: Sequence[Part]) -> StreamOutcome:
        """Play parts one after the other; consecutive parts with the same label are one fault."""
        return play_parts(name, parts, self.rule, AlarmSettings(), self._make_tracker())

    def trace(self, parts: Sequence[Part]) -> Trace:
        """Play parts one after the other; return what the alarm does."""
        return trace_parts(parts, self.rule, AlarmSettings(), self._make_tracker())[0]

    def _make_tracker(self) -> ModeTracker:
        return ModeTracker(self.modes, self.rule.window_samples, SAMPLE_RATE_HZ)


def play_parts(
    name: str,
    parts: Sequence[Part],
    rule: DecisionRule,
    settings: AlarmSettings,
    tracker: ModeTracker | None = None,
) -> StreamOutcome:
    """Pass the scores of parts through the alarm and compare its alarms with the labels."""
    trace, spans = trace_parts(parts, rule, settings, tracker)
    return evaluate_stream(TARGET, name, trace, spans)


def trace_parts(
    parts: Sequence[Part],
    rule: DecisionRule,
    settings: AlarmSettings,
    tracker: ModeTracker | None = None,
) -> tuple[Trace, list[Span]]:
    """Pass the scores of parts through the alarm; return what it does, and the faults."""
    rate_hz = rule.sample_rate_hz
    scores: list[WindowScore] = []
    spans: list[Span] = []
    start = 0
    for part in parts:
        for index, score in enumerate(part.scores):
            begin = start + score.window_start
            end_s = (begin + rule.window_samples) / rate_hz
            placed = replace(score, window_start=begin, captured_at=end_s)
            if tracker is not None:
                placed = tracker.adjust(placed, part.profiles[index])
            scores.append(placed)
        end = start + part.n_samples
        if part.label:
            begin_s, end_s = start / rate_hz, end / rate_hz
            if spans and spans[-1].label == part.label and spans[-1].end_s == begin_s:
                spans[-1] = Span(spans[-1].start_s, end_s, part.label)
            else:
                spans.append(Span(begin_s, end_s, part.label))
        start = end
    return trace_scores(scores, rule, settings, start / rate_hz), spans
