"""Models of two channels score recordings of both microphones, and refuse any other sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner

from asd_monitor.commands.inspect import inspect
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, read_manifest, save, script
from asd_monitor.records import Window
from asd_monitor.runtime.score_files import ScoreJob, score_files
from tests.rig.toy_model import RATE_HZ, TARGETS, WINDOW_SAMPLES, manifest, noise


class NearOverFar(torch.nn.Module):
    """Level of the near channel over that of the far channel, in dB."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score ``(batch, 2, 800)`` windows."""
        power = waveform.square().mean(2)
        return 10 * torch.log10(power[:, 0] / power[:, 1]) + 0.0 * target


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "stereo.asd"
    save(path, script(NearOverFar()), replace(manifest(), channels=2))
    return path


def recording(path: Path, gain: float) -> Path:
    near = noise(4, seed=3).reshape(-1)
    soundfile.write(path, np.stack([near, gain * near], axis=1), RATE_HZ, "FLOAT")
    return path


def test_the_number_of_channels_is_in_the_manifest(stereo: Path) -> None:
    loaded, _ = read_manifest(stereo)
    assert (loaded.channels, loaded.window_shape) == (2, (2, WINDOW_SAMPLES))
    assert load(stereo, "cpu").manifest == loaded


def test_a_manifest_without_the_number_has_one_channel() -> None:
    values = dict(manifest().to_dict())
    del values["channels"]
    assert type(manifest()).from_dict(values).channels == 1


@pytest.mark.parametrize("gain", [0.5, 0.25])
def test_a_recording_is_scored_with_both_channels(
    stereo: Path, tmp_path: Path, gain: float
) -> None:
    path = recording(tmp_path / "clip.wav", gain)
    job = ScoreJob(stereo, b"", "cpu", TARGETS[0])
    [scored] = score_files([path], job, load(stereo, "cpu"))
    assert scored.clip is not None
    assert scored.clip.value == pytest.approx(-20 * np.log10(gain), abs=1e-3)


def test_a_recording_of_one_channel_is_refused(stereo: Path, tmp_path: Path) -> None:
    path = tmp_path / "mono.wav"
    soundfile.write(path, noise(4).reshape(-1), RATE_HZ)
    [scored] = score_files([path], ScoreJob(stereo, b"", "cpu", TARGETS[0]), load(stereo, "cpu"))
    assert "has no channel 1: it has 1" in scored.problem


def test_windows_of_one_channel_are_refused(stereo: Path) -> None:
    model = load(stereo, "cpu")
    detector = Detector(model, {"pump": DecisionRule.from_manifest(model.manifest, "pump")})
    with pytest.raises(ModelFileError, match="scores 2 channels at once"):
        detector.score([Window("pump", noise(1)[0], 0, 0.0)])


def test_inspect_shows_the_channels_and_runs_the_model(stereo: Path) -> None:
    app = typer.Typer()
    app.command()(inspect)
    result = CliRunner().invoke(app, [str(stereo), "--run"])
    assert result.exit_code == 0
    assert f"{RATE_HZ} Hz, two channels: near the machine and away from it" in result.stdout


@pytest.mark.parametrize("channels", [0, 3, "2"])
def test_another_number_of_channels_is_refused(channels: object) -> None:
    with pytest.raises(ValueError, match="channels: expected an integer in"):
        replace(manifest(), channels=channels)  # type: ignore[arg-type]
