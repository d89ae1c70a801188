"""Scores of windows: bad ones excluded, batches shared, recordings scored like streams."""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.calibration.alarm_rate import exceedance_probability
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import MAX_BATCH, ClipScore, Detector, aggregate
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, save, script
from asd_monitor.model_file.loaded_model import LoadedModel, Voices
from asd_monitor.records import AudioChunk, Quality, Window, WindowScore
from tests.rig.toy_model import (
    RATE_HZ,
    WINDOW_SAMPLES,
    calibration,
    manifest,
    noise,
    rules_of,
    save_toy,
)

MACHINES = {"pump 1": "pump", "pump 2": "pump", "hall fan": "fan"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_toy(tmp_path_factory.mktemp("model") / "toy.asd"), "cpu")


def detector_of(
    model: LoadedModel, max_batch: int = MAX_BATCH, clock: Callable[[], float] = time.perf_counter
) -> Detector:
    return Detector(model, rules_of(model, MACHINES), max_batch=max_batch, clock=clock)


def values_of(scores: Sequence[WindowScore]) -> list[float]:
    assert all(score.value is not None for score in scores)
    return [score.value for score in scores if score.value is not None]


def windows_of(samples: npt.NDArray[np.float32], machines: list[str] | None = None) -> list[Window]:
    machines = machines or ["pump 1"] * len(samples)
    return [
        Window(machine, row, i * WINDOW_SAMPLES, 1000.0 + i, lost_samples=i)
        for i, (machine, row) in enumerate(zip(machines, samples, strict=True))
    ]


class RecordingModel(LoadedModel):
    """A model that records its batches."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model.module, model.manifest, model.sha256, model.device)
        self.batches: list[npt.NDArray[np.float32]] = []

    def begin_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Callable[[], Voices]:
        self.batches.append(windows)
        return super().begin_voices(windows, targets)


def test_scores_keep_order_machine_and_times_of_their_windows(model: LoadedModel) -> None:
    machines = ["pump 1", "hall fan", "pump 2", "hall fan"]
    windows = windows_of(noise(4), machines)
    scores = detector_of(model).score(windows)
    for window, score in zip(windows, scores, strict=True):
        assert score.machine == window.machine
        assert score.window_start == window.start
        assert score.captured_at == window.captured_at
        assert score.lost_samples == window.lost_samples
        assert score.quality is Quality.OK


def test_each_machine_is_scored_against_its_own_target(model: LoadedModel) -> None:
    same_sound = np.repeat(noise(1, level_dbfs=-20), 3, axis=0)
    scores = detector_of(model).score(windows_of(same_sound, list(MACHINES)))
    by_machine = {score.machine: score for score in scores}
    assert by_machine["pump 1"].value == by_machine["pump 2"].value
    fan, pump = by_machine["hall fan"], by_machine["pump 1"]
    assert fan.value is not None
    assert fan.threshold is not None
    assert fan.value < fan.threshold
    assert pump.value is not None
    assert pump.threshold is not None
    assert pump.value > pump.threshold
    assert [fan.model and fan.model.target, pump.model and pump.model.target] == ["fan", "pump"]


def test_p_value_and_threshold_come_from_the_calibration(model: LoadedModel) -> None:
    rules = {
        name: DecisionRule.from_manifest(model.manifest, target, 100.0)
        for name, target in MACHINES.items()
    }
    score = Detector(model, rules).score(windows_of(noise(1)))[0]
    expected = calibration(0)
    assert score.value is not None
    assert (score.p_value, score.extrapolated) == expected.p_value(score.value)
    window_s = WINDOW_SAMPLES / RATE_HZ
    p = exceedance_probability(100.0, window_s)
    assert score.threshold == expected.threshold(p)
    assert score.model is not None
    assert score.model.calibration_windows == 200
    assert score.model.sha256 == model.sha256
    assert not score.model.provisional


@pytest.mark.parametrize("max_batch", [1, 3, 16])
def test_one_batch_gives_the_scores_of_many_batches_of_one(
    model: LoadedModel, max_batch: int
) -> None:
    windows = windows_of(noise(20), (list(MACHINES) * 7)[:20])
    together = detector_of(model, max_batch=max_batch).score(windows)
    alone = detector_of(model)
    one_by_one = [alone.score([window])[0] for window in windows]
    np.testing.assert_allclose(values_of(together), values_of(one_by_one), rtol=1e-6)
    assert [score.seq for score in together] == [score.seq for score in one_by_one]


def bad_windows() -> dict[Quality, npt.NDArray[np.float32]]:
    silent = np.zeros(WINDOW_SAMPLES, np.float32)
    not_finite = noise(1)[0]
    not_finite[5] = np.nan
    return {
        Quality.SILENT: silent,
        Quality.STUCK: silent + np.float32(0.25),
        Quality.NON_FINITE: not_finite,
    }


def test_bad_windows_never_reach_the_model(model: LoadedModel) -> None:
    recording = RecordingModel(model)
    bad = bad_windows()
    samples = np.stack([noise(1)[0], *bad.values(), noise(1, seed=1)[0]])
    scores = detector_of(recording).score(windows_of(samples))
    assert [score.quality for score in scores] == [Quality.OK, *bad, Quality.OK]
    assert [score.value is None for score in scores] == [False, True, True, True, False]
    assert [score.p_value is None for score in scores] == [False, True, True, True, False]
    assert [score.seq for score in scores] == [0, 1, 2, 3, 4]
    [batch] = recording.batches
    np.testing.assert_array_equal(batch, samples[[0, 4]])


def test_the_model_is_not_run_without_good_windows(model: LoadedModel) -> None:
    recording = RecordingModel(model)
    detector = detector_of(recording)
    assert detector.score([]) == []
    detector.score(windows_of(np.stack(list(bad_windows().values()))))
    assert recording.batches == []


class FailsOnLoud(torch.nn.Module):
    """NaN for a loud window; the whole batch fails if one is even louder."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        peak = waveform.abs().amax(1)
        if bool((peak > 0.9).any()):
            raise RuntimeError("too loud")
        return torch.sqrt(0.5 - peak)


@pytest.mark.parametrize("peak", [0.7, 0.95])
def test_a_window_is_an_error_if_the_model_fails_or_its_score_is_not_finite(
    tmp_path: Path, peak: float
) -> None:
    save(tmp_path / "fragile.asd", script(FailsOnLoud()), manifest())
    detector = detector_of(load(tmp_path / "fragile.asd", "cpu"), max_batch=1)
    loud = noise(1)
    loud[0, 0] = peak
    before, during, after = detector.score(windows_of(np.concatenate([noise(1), loud, noise(1)])))
    assert during.quality is Quality.ERROR
    assert during.value is None
    assert during.p_value is None
    assert before.value == after.value is not None


def test_inference_time_is_the_time_of_the_batch_divided_by_its_size(model: LoadedModel) -> None:
    ticks = iter([10.0, 12.0, 20.0, 21.0])
    detector = detector_of(model, max_batch=4, clock=lambda: next(ticks))
    scores = detector.score(windows_of(noise(5)))
    assert [score.inference_s for score in scores] == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_an_unknown_target_is_refused(model: LoadedModel) -> None:
    with pytest.raises(ModelFileError, match="no target 'valve'; it has: pump, fan"):
        Detector(model, rules_of(model, {"mixer": "valve"}))


def test_a_model_without_thresholds_gives_bare_scores(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "bare.asd", {"calibrations": {}, "thresholds": {}})
    score = detector_of(load(path, "cpu")).score(windows_of(noise(1)))[0]
    assert score.value is not None
    assert (score.p_value, score.threshold) == (None, None)
    assert score.model is not None
    assert score.model.provisional


@given(cuts=st.lists(st.integers(1, 4999), max_size=6))
def test_a_recording_scores_like_its_stream(model: LoadedModel, cuts: list[int]) -> None:
    samples = noise(7, seed=3).ravel()[:5000]
    detector, sliding = detector_of(model), SlidingWindow("pump 1", 800, 400, RATE_HZ)
    edges = [0, *sorted(set(cuts)), len(samples)]
    windows = []
    for start, end in pairwise(edges):
        windows += sliding.push(AudioChunk(samples[start:end], start, end / RATE_HZ, "a.wav"))
    streamed = detector.score(windows)
    clip = detector_of(model).score_recording(samples, "a.wav", "pump 1")
    starts = [score.window_start for score in streamed]
    assert [score.window_start for score in clip.windows] == starts
    np.testing.assert_allclose(values_of(clip.windows), values_of(streamed), rtol=1e-6)
    captured_at = [score.captured_at for score in streamed]
    np.testing.assert_allclose([score.captured_at for score in clip.windows], captured_at)


@pytest.mark.parametrize(("rule", "expected"), [("mean", 5.5), ("max", 10.0), ("top", 10.0)])
def test_a_clips_score_follows_the_rule(rule: str, expected: float) -> None:
    assert aggregate([10.0, *range(1, 10)], rule) == expected  # type: ignore[arg-type]


def test_top_is_the_mean_of_the_highest_tenth() -> None:
    assert aggregate(list(range(30)), "top") == 28
    assert aggregate([4.0], "top") == 4


@pytest.mark.parametrize("rule", ["mean", "max", "top"])
def test_a_recording_is_aggregated_by_the_rule_of_the_model_file(tmp_path: Path, rule: str) -> None:
    path = save_toy(tmp_path / "toy.asd", {"aggregation": rule})
    clip = detector_of(load(path, "cpu")).score_recording(noise(5).ravel(), "a", "pump 1")
    values = [score.value for score in clip.windows if score.value is not None]
    assert len(values) == 9
    assert clip.value == aggregate(values, rule)  # type: ignore[arg-type]
    assert clip.p_value == calibration(0).p_value(clip.value)[0]
    assert clip.above is (clip.value > calibration(0).threshold(0.001))


def test_a_silent_recording_has_no_score(model: LoadedModel) -> None:
    clip = detector_of(model).score_recording(np.zeros(4000, np.float32), "a", "pump 1")
    assert (clip.value, clip.p_value, clip.above) == (None, None, None)
    assert {score.quality for score in clip.windows} == {Quality.SILENT}


def test_bad_windows_do_not_count_in_a_clips_score(model: LoadedModel) -> None:
    samples = np.concatenate([noise(3).ravel(), np.zeros(1600, np.float32)])
    clip: ClipScore = detector_of(model).score_recording(samples, "a", "pump 1")
    values = [score.value for score in clip.windows if score.value is not None]
    assert len(values) < len(clip.windows)
    assert clip.value == pytest.approx(np.mean(values))
    assert clip.value is not None
    assert math.isfinite(clip.value)
