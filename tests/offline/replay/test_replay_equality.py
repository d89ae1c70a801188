"""The same samples get the same scores from ``score``, from replay, and from the live path."""

import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from asd_monitor import model_file
from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.commands.score import score
from asd_monitor.detection.detector import Detector
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import Window
from asd_monitor.sources.wav import WavSettings, WavSource
from asd_offline.replay import ReplaySettings, replay
from tests.rig.toy_model import rules_of

RATE_HZ = 16_000
FORMATS = {"plain": (16_000, 1, 6.0), "stereo": (44_100, 2, 7.3), "long": (48_000, 1, 21.7)}


def hum(rate_hz: int, channels: int, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    frames = round(rate_hz * seconds)
    tone = np.sin(2 * np.pi * 120 * np.arange(frames) / rate_hz)[:, None]
    return np.asarray(0.1 * tone + 0.03 * random.standard_normal((frames, channels)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sounds = [hum(RATE_HZ, 1, 6.0, seed)[:, 0].astype(np.float32) for seed in range(5)]
    recordings = [Recording(str(index), sound) for index, sound in enumerate(sounds)]
    fitted = fit(recordings, target="fan")
    path = tmp_path_factory.mktemp("model") / "fan.asd"
    model_file.save(path, fitted.module, fitted.manifest)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "fan"
    (root / "train").mkdir(parents=True)  # else some normal clips would be for training
    soundfile.write(root / "train" / "0.wav", hum(RATE_HZ, 1, 2.0, 0), RATE_HZ)
    for number, (name, (rate_hz, channels, seconds)) in enumerate(FORMATS.items()):
        for label in ("normal", "anomaly"):
            folder = root / "test" / label
            folder.mkdir(parents=True, exist_ok=True)
            samples = hum(rate_hz, channels, seconds, 50 + number + 10 * (label == "anomaly"))
            soundfile.write(folder / f"{name}.wav", samples, rate_hz, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def replayed(recordings: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    replay(replace(ReplaySettings(recordings, model=str(model), out=out, jobs=1), device="cpu"))
    return out


def replayed_scores(out: Path) -> dict[str, list[float]]:
    """Return the scores of the windows of each recording."""
    scores = defaultdict(list)
    with (out / "window_scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            scores[row["file"]].append(float(row["score"]))
    return scores


def live_windows(root: Path) -> dict[str, list[Window]]:
    """Return the windows of the live pipeline, by recording."""
    source = WavSource("fan", WavSettings(paths=(root / "test",), paced=False), RATE_HZ)
    source.open(lambda: None)
    sliding_window = SlidingWindow("fan", 2 * RATE_HZ, RATE_HZ, RATE_HZ)
    windows = defaultdict(list)
    while chunks := source.read():
        for chunk in chunks:
            for window in sliding_window.push(chunk):
                windows[f"test/{window.recording}"].append(window)
    source.close()
    return windows


def test_replay_and_score_agree_bit_for_bit(recordings: Path, model: Path, replayed: Path) -> None:
    app = typer.Typer()
    app.command()(score)
    files = sorted(str(path) for path in (recordings / "test").rglob("*.wav"))
    result = CliRunner().invoke(app, [*files, "--model", str(model), "--json", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    replayed_by_file = replayed_scores(replayed)
    lines = (replayed / "anomaly_score_fan_all.csv").read_text().splitlines()
    clip_scores = dict(line.split(",") for line in lines)
    documents = json.loads(result.stdout)["recordings"]
    assert len(documents) == 2 * len(FORMATS)
    for document in documents:
        name = str(Path(document["file"]).relative_to(recordings))
        assert [window["score"] for window in document["windows"]] == replayed_by_file[name]
        assert float(clip_scores[name]) == document["score"]


def test_replay_and_the_live_path_agree_bit_for_bit_in_equal_batches(
    recordings: Path, model: Path, replayed: Path
) -> None:
    loaded = model_file.load(model, "cpu")
    detector = Detector(loaded, rules_of(loaded, {"fan": "fan"}))
    replayed_by_file = replayed_scores(replayed)
    live = live_windows(recordings)
    assert set(live) == set(replayed_by_file)
    for name, windows in live.items():
        scores = [
            result.value
            for first in range(0, len(windows), 16)
            for result in detector.score(windows[first : first + 16])
        ]
        assert scores == replayed_by_file[name]


@pytest.mark.parametrize("batch", [1, 3])
def test_replay_and_the_live_path_agree_within_1e_6_in_other_batches(
    recordings: Path, model: Path, replayed: Path, batch: int
) -> None:
    loaded = model_file.load(model, "cpu")
    detector = Detector(loaded, rules_of(loaded, {"fan": "fan"}), max_batch=batch)
    for name, windows in live_windows(recordings).items():
        values = np.array([result.value for result in detector.score(windows)], np.float64)
        np.testing.assert_allclose(values, replayed_scores(replayed)[name], rtol=1e-6, atol=1e-6)
