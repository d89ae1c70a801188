"""``asd-monitor calibrate``: a new version of a model from recordings, and the way back."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asd_monitor import quickstart
from asd_monitor.calibration.calibration import Calibration
from asd_monitor.cli import create_app
from asd_monitor.errors import ConfigError
from asd_monitor.model_file import LoadPolicy, load, read_manifest, save
from asd_monitor.quickstart import Recording
from asd_monitor.recalibration.files import CalibrationFiles
from tests.recalibration.streams import SHA256, TARGET, WINDOW_S, make_stretch

RATE_HZ = 16_000


def make_sound(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.05 * np.sin(2 * np.pi * 120 * t) * (1 + 0.2 * np.sin(2 * np.pi * 0.05 * t))
    return (tone + rng.normal(0, 0.02, len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model learned from 40 s, those 40 s, and a recording of 15 minutes."""
    root = tmp_path_factory.mktemp("calibrate")
    learned = make_sound(40, 1)
    fitted = quickstart.fit([Recording("a", learned)], target="pump", window_s=2.0)
    save(root / "pump.asd", fitted.module, fitted.manifest, normal_sound=fitted.normal_sound)
    soundfile.write(root / "learned.wav", np.tile(learned, 20), RATE_HZ)
    soundfile.write(root / "long.flac", make_sound(900, 2), RATE_HZ)
    return root


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(create_app(), ["calibrate", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_recordings_give_a_new_version_and_the_previous_one_is_kept(folder: Path) -> None:
    model, before = folder / "pump.asd", (folder / "pump.asd").read_bytes()
    arguments = (folder / "long.flac", "--model", model, "--state-dir", folder / "state")
    dry = json.loads(run(*arguments, "--dry-run", "--json"))
    assert model.read_bytes() == before
    table = run(*arguments)
    for name in ("threshold", "false alarms a month supported", "provisional"):
        assert name in table
    assert (folder / "pump.previous.asd").read_bytes() == before
    manifest, _ = read_manifest(model)
    assert isinstance(manifest.calibrations["pump"], Calibration)
    assert manifest.calibrations["pump"].count == 450
    assert dry["after"]["supported_per_month"] < dry["before"]["supported_per_month"]
    old = load(folder / "pump.previous.asd", "cpu", policy=LoadPolicy.of_state(folder / "state"))
    new = load(model, "cpu", policy=LoadPolicy.of_state(folder / "state"))
    window = make_sound(2, 3)[None]
    target = np.zeros(1, np.int64)
    assert new.score(window, target) == pytest.approx(old.score(window, target))
    model.write_bytes(before)


def test_recordings_that_were_learned_from_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="appears to have been learned from them"):
        run(folder / "learned.wav", "--model", folder / "pump.asd")


def test_too_little_sound_is_refused(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", make_sound(60, 4), RATE_HZ)
    with pytest.raises(ConfigError, match="give more recordings"):
        run(tmp_path / "short.wav", "--model", folder / "pump.asd")


def test_a_reset_deletes_sample_and_limits(tmp_path: Path) -> None:
    from asd_monitor.recalibration.sample import CalibrationSample

    files = CalibrationFiles(tmp_path, "pump")
    CalibrationSample(SHA256, TARGET, WINDOW_S, [make_stretch(0.0)]).write(files.sample)
    files.hours.write_text("")
    assert "normal sound is collected again" in run(
        "--machine", "pump", "--reset", "--state-dir", tmp_path
    )
    assert not files.sample.exists()
    assert files.hours.exists()
    with pytest.raises(ConfigError, match="already"):
        run("--machine", "pump", "--reset", "--state-dir", tmp_path)
