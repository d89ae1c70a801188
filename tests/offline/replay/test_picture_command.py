"""The command ``picture``."""

from pathlib import Path

import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.picture import picture
from asd_monitor.errors import ConfigError, SourceError
from tests.rig.toy_model import RATE_HZ, noise, save_toy

app = typer.Typer()
app.command("picture")(picture)
PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picture")
    save_toy(folder / "toy.asd")
    for name, level_db in (("normal", 0), ("loud", 20)):
        soundfile.write(folder / f"{name}.wav", noise(5, level_db).ravel() * 0.05, RATE_HZ)
    return folder


def test_recordings_are_drawn_side_by_side(folder: Path, tmp_path: Path) -> None:
    files = (folder / "normal.wav", folder / "loud.wav")
    single, pair = tmp_path / "single.png", tmp_path / "pair.png"
    settings = ("--model", folder / "toy.asd", "--target", "pump", "--out")
    assert run(files[0], *settings, single).exit_code == 0
    result = run(*files, *settings, pair)
    assert result.exit_code == 0
    assert "2 recording(s)" in result.output
    assert single.read_bytes()[:8] == pair.read_bytes()[:8] == PNG
    assert single.read_bytes() != pair.read_bytes()


def test_recordings_that_cannot_be_drawn_are_errors(folder: Path, tmp_path: Path) -> None:
    settings = ("--model", folder / "toy.asd", "--out", tmp_path / "no.png")
    several = run(folder / "normal.wav", *settings)
    assert isinstance(several.exception, ConfigError)
    assert "choose one with --target" in str(several.exception)
    missing = run(folder / "gone.wav", *settings, "--target", "pump")
    assert isinstance(missing.exception, SourceError)
    many = run(*[folder / "normal.wav"] * 5, *settings, "--target", "pump")
    assert "at most 4" in str(many.exception)
    assert not (tmp_path / "no.png").exists()
