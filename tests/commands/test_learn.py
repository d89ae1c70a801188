"""Learning a machine, and learning it again."""

import json
import logging
import threading
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from asd_monitor import model_file
from asd_monitor.cli import create_app
from asd_monitor.config import Config, from_options
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.runs import add_live_view, learn_only, run_monitor

RATE_HZ = 16_000


def recordings(folder: Path, first: int, count: int = 3, rate_hz: int = RATE_HZ) -> Path:
    """Write ten-second recordings of a pump, numbered from ``first``."""
    folder.mkdir()
    for index in range(first, first + count):
        sound = PumpSound(3, rate_hz).block(index * 10 * rate_hz, 10 * rate_hz, 0.0)
        soundfile.write(folder / f"{index:04d}.wav", sound, rate_hz)
    return folder


def settings(state: Path, folder: Path, seconds: float) -> Config:
    """Return the settings of a pump that is learned from a folder, unpaced."""
    options = {
        "machines": {"pump": {"wav": {"paths": [str(folder)], "paced": False}}},
        "learn": {"minutes": seconds / 60, "window_s": 2.0},
        "state_dir": str(state),
        "mqtt": None,
        "prometheus": None,
        "web": None,
    }
    return from_options(options)


def learn(state: Path, folder: Path, seconds: float) -> float:
    """Learn a pump from a folder; return the seconds of sound that its model was fitted to."""
    config, stop = settings(state, folder, seconds), threading.Event()
    learn_only(config, stop, fresh=False, live_view=False, as_json=True)
    manifest = model_file.load(state / "models" / "pump.asd", "cpu").manifest
    return float(manifest.training["seconds"])  # type: ignore[arg-type]


def test_learning_again_adds_new_sound_and_ignores_duplicates(tmp_path: Path) -> None:
    state, first = tmp_path / "state", recordings(tmp_path / "first", 0)
    assert learn(state, first, 30) == 30
    assert learn(state, first, 30) == 30
    assert learn(state, recordings(tmp_path / "second", 3), 30) == 60


def test_sound_at_another_rate_than_the_learned_sound_is_noted_in_the_health(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    learn(state, recordings(tmp_path / "learned", 0), 30)
    training = model_file.read_manifest(state / "models" / "pump.asd")[0].training
    assert training["recorded_at_hz"] == [RATE_HZ]
    folder = recordings(tmp_path / "live", 3, rate_hz=48_000)
    config = settings(state, folder, 30)
    run_monitor(config, threading.Event(), duration_s=None, live_view=False, as_json=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "learned at" in line]
    assert "(0005.wav): recorded at 48000 Hz, learned at 16000" in lines[-1]


def test_sound_that_learning_does_not_use_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, stop = recordings(tmp_path / "sound", 0, count=6), threading.Event()
    (folder / "text.wav").write_text("hello")
    config = settings(tmp_path / "state", folder, 30)
    learn_only(config, stop, fresh=False, live_view=False, as_json=False)
    assert "pump: 0.5 min of the recordings were not used" in capsys.readouterr().err
    learn(tmp_path / "state", folder, 60)
    assert json.loads(capsys.readouterr().out)["unused_s"] == {"pump": 0.0}


def test_it_is_an_error_if_no_recording_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "sound"
    folder.mkdir()
    (folder / "text.wav").write_text("hello")
    state = tmp_path / "state"
    learn(state, recordings(tmp_path / "good", 0), 30)
    with pytest.raises(SourceError, match="pump: no audio was received: skipped 1 of 1 recordings"):
        learn(state, folder, 30)
    config, stop = settings(state, folder, 30), threading.Event()
    with pytest.raises(SourceError, match="pump: no audio was received"):
        run_monitor(config, stop, duration_s=None, live_view=False, as_json=True)


def test_recordings_that_learning_does_not_use_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(tmp_path / "state", recordings(tmp_path / "sound", 0, count=7), 30)
    run_monitor(config, threading.Event(), duration_s=None, live_view=False, as_json=True)
    summary = json.loads(capsys.readouterr().out)["machines"]["pump"]
    assert summary["windows"] == 4 * 9


@pytest.mark.parametrize(("terminal", "has_view"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_without_cursor_movement_gets_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: str, has_view: bool
) -> None:
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    handlers = logging.getLogger().handlers[:]
    handle = build_monitor(settings(tmp_path, recordings(tmp_path / "sound", 0), 30))
    try:
        assert (add_live_view(handle) is not None) == has_view
    finally:
        handle.close()
        logging.captureWarnings(capture=False)
        logging.getLogger().handlers[:] = handlers


def test_learning_that_is_stopped_before_there_is_a_model_is_no_success(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "sound", 0, count=6)
    stop = threading.Event()
    stop.set()
    config = settings(tmp_path / "state", folder, 30)
    assert not learn_only(config, stop, fresh=False, live_view=False, as_json=False)


def test_the_command_reports_a_stop_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.runs.learn_only", lambda *_, **__: False)
    arguments = ["learn", "--wav", str(tmp_path), "--machine", "pump"]
    assert CliRunner().invoke(create_app(), arguments).exit_code == 130


def labelled(folder: Path, names: list[str]) -> Path:
    """Write recordings of ten seconds with these names, which may contain folders."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = PumpSound(3, RATE_HZ).block(index * 10 * RATE_HZ, 10 * RATE_HZ, 0.0)
        soundfile.write(path, sound, RATE_HZ)
    return folder


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["normal_1.wav", "anomaly_1.wav"], "anomaly_1.wav"),
        (["1.wav", "broken bearing.wav"], "broken bearing.wav"),
        (["OK/1.wav", "NG/2.wav"], "NG/2.wav"),
    ],
)
def test_recordings_of_faults_are_not_learned_as_normal_sound(
    tmp_path: Path, names: list[str], found: str
) -> None:
    config = settings(tmp_path / "state", labelled(tmp_path / "pump", names), 60)
    with pytest.raises(ConfigError, match=f"pump: expected recordings of normal .*: {found};"):
        learn_only(config, threading.Event(), fresh=False, live_view=False, as_json=False)
    config = settings(tmp_path / "state", labelled(tmp_path / "faulty", ["1.wav"]), 60)
    with pytest.raises(ConfigError, match=r"1\.wav"):
        run_monitor(config, threading.Event(), duration_s=None, live_view=False, as_json=True)


def test_recordings_of_faults_that_are_played_after_learning_are_allowed(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "sound", ["1.wav", "2.wav", "3.wav", "9 anomaly.wav"])
    config = settings(tmp_path / "state", folder, 30)
    assert learn_only(config, threading.Event(), fresh=False, live_view=False, as_json=False)
