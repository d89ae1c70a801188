"""``picture``: what a model looks at, as a user sees it."""

from pathlib import Path

import pytest
import soundfile
import torchaudio.functional as audio
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.picture import picture
from asd_monitor.errors import ConfigError, SourceError
from asd_offline.features.frontends import LogMelSettings
from asd_offline.features.mel import band_centres_hz, group_centres_hz
from tests.rig.toy_model import RATE_HZ, noise, save_toy

app = typer.Typer()
app.command("picture")(picture)
PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picture")
    save_toy(folder / "toy.asd")
    for name, level_db in (("normal", 0), ("loud", 20)):
        soundfile.write(folder / f"{name}.wav", noise(5, level_db).ravel() * 0.05, RATE_HZ)
    return folder


def test_recordings_are_drawn_side_by_side(folder: Path, tmp_path: Path) -> None:
    files = (folder / "normal.wav", folder / "loud.wav")
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    settings = ("--model", folder / "toy.asd", "--target", "pump", "--out")
    assert run(files[0], *settings, one).exit_code == 0
    result = run(*files, *settings, two)
    assert result.exit_code == 0
    assert "2 recording(s)" in result.output
    assert one.read_bytes()[:8] == two.read_bytes()[:8] == PNG
    assert one.read_bytes() != two.read_bytes()


def test_what_cannot_be_drawn_is_said(folder: Path, tmp_path: Path) -> None:
    settings = ("--model", folder / "toy.asd", "--out", tmp_path / "no.png")
    several = run(folder / "normal.wav", *settings)
    assert isinstance(several.exception, ConfigError)
    assert "choose one with --target" in str(several.exception)
    missing = run(folder / "gone.wav", *settings, "--target", "pump")
    assert isinstance(missing.exception, SourceError)
    many = run(*[folder / "normal.wav"] * 5, *settings, "--target", "pump")
    assert "at most 4" in str(many.exception)
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_band_centres_are_where_the_filters_peak(scale: str) -> None:
    settings = LogMelSettings(n_fft=16384, n_mels=64, mel_scale=scale)  # type: ignore[arg-type]
    filters = audio.melscale_fbanks(8193, 0.0, 8000.0, 64, 16000, norm=None, mel_scale=scale)
    peaks = (filters.argmax(0) * 8000 / 8192).tolist()
    centres = band_centres_hz(settings)
    assert centres == pytest.approx(peaks, abs=0.6)
    assert len(group_centres_hz(settings, 8)) == 8
    assert group_centres_hz(settings, 8)[0] == pytest.approx(sum(centres[:8]) / 8, abs=0.1)
