"""Simulated scores of a machine's normal sound, with decisions, and a model for them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.recalibration.stretches import Stretch, StretchCollector
from asd_monitor.records import Decision, ModelInfo, Quality, ScoredWindow, State, WindowScore

RATE_HZ, WINDOW_S, WINDOWS = 1000, 2.0, 5
WINDOW_SAMPLES = round(WINDOW_S * RATE_HZ)
BLOCK_S = WINDOW_S * WINDOWS
NAMES = ("level", "tones", "knocks")
TARGET, SHA256 = "pump", "ab" * 32
NOON_S = 1_800_000_000.0

Rows = npt.NDArray[np.float64]


def draw_voices(windows: int, seed: int = 0) -> Rows:
    """Return ``(windows, voices)`` independent log scores."""
    return np.random.default_rng(seed).normal(0.0, 0.3, (windows, len(NAMES)))


def make_manifest(minutes: float = 10.0, seed: int = 1) -> Manifest:
    """Return the manifest of a model that learned this much normal sound."""
    voices = draw_voices(round(60 * minutes / WINDOW_S), seed)
    scores, session = voices.mean(1) + 1.0, np.zeros(len(voices), np.int64)
    start_s = WINDOW_S * np.arange(len(voices))
    statistics = VoiceStatistics.fit(NAMES, voices, scores, session, start_s, WINDOW_S)
    assert statistics is not None
    calibration = Calibration.fit(scores, NormalRange.fit(scores, session, start_s, WINDOW_S))
    return Manifest(
        name="simulated",
        revision="1",
        targets=(TARGET,),
        sample_rate_hz=RATE_HZ,
        window_samples=WINDOW_SAMPLES,
        hop_samples=WINDOW_SAMPLES,
        calibrations={TARGET: calibration},
        voices={TARGET: statistics},
    )


def make_rule(minutes: float = 10.0) -> DecisionRule:
    """Return the decision rule of such a model."""
    return DecisionRule.from_manifest(make_manifest(minutes), TARGET)


def play(
    voices: Rows,
    state: State = State.NORMAL,
    quality: Quality = Quality.OK,
    first: int = 0,
    evidence_s: float = 0.0,
) -> Iterator[ScoredWindow]:
    """Yield consecutive windows with these voices, all decided in one state."""
    model = ModelInfo("m", "1", SHA256, TARGET, RATE_HZ, WINDOW_SAMPLES, WINDOW_SAMPLES, 9, True)
    for index, row in enumerate(voices, start=first):
        score = WindowScore(
            machine="pump",
            seq=index,
            window_start=index * WINDOW_SAMPLES,
            captured_at=NOON_S + (index + 1) * WINDOW_S,
            quality=quality,
            value=float(row.mean()) + 1.0,
            p_value=None,
            extrapolated=False,
            threshold=10.0,
            level_dbfs=-30.0,
            lost_samples=0,
            inference_s=0.0,
            model=model,
            voices=tuple(row.tolist()),
        )
        yield ScoredWindow(score, Decision(state, shift_s=evidence_s))


def collect(windows: Iterator[ScoredWindow], collector: StretchCollector) -> list[Stretch]:
    """Return the stretches that a collector takes."""
    return [stretch for window in windows for stretch in collector.add(window)]


def make_stretch(start_s: float, blocks: int = 60, shift: float = 0.0, seed: int = 0) -> Stretch:
    """Return a stretch whose voices are moved by ``shift``."""
    rows = draw_voices(blocks * WINDOWS, seed) + shift
    means = rows.reshape(blocks, WINDOWS, -1).mean(1)
    scores = rows.mean(1).reshape(blocks, WINDOWS) + 1.0
    return Stretch(start_s, means.astype(np.float32), scores.astype(np.float32))
