"""Replay without a model file: a detector is fitted for each section."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asd_monitor import model_file
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.lazy_clips import ClipCache
from asd_monitor.errors import DatasetError
from asd_monitor.quickstart import Recording, fit
from asd_offline.replay import ReplaySettings, replay
from asd_offline.replay.training_audio import open_training_clips
from asd_offline.report import write_report

RATE_HZ = 16_000


def write_fan(path: Path, seed: int, fault: float = 0.0) -> None:
    random = np.random.default_rng(seed)
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    samples = 0.05 * random.standard_normal(len(time_s)) + 0.1 * np.sin(2 * np.pi * 150 * time_s)
    samples += fault * np.sin(2 * np.pi * 2300 * time_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fans of 2020: id_00 has enough training clips, id_02 too few, id_04 none."""
    root = tmp_path_factory.mktemp("data")
    for number in range(8):
        write_fan(root / "fan" / "train" / f"normal_id_00_{number:08d}.wav", number)
    write_fan(root / "fan" / "train" / "normal_id_02_00000000.wav", 90)
    (root / "fan" / "train" / "normal_id_00_00000050.wav").write_bytes(b"broken")
    for number in range(2):
        for machine_id in ("00", "02", "04"):
            test = root / "fan" / "test"
            write_fan(test / f"normal_id_{machine_id}_{number:08d}.wav", 20 + number)
            write_fan(test / f"anomaly_id_{machine_id}_{number:08d}.wav", 30 + number, 0.03)
    return root


@pytest.fixture(scope="module")
def out(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    replay(ReplaySettings(dataset, out=out, jobs=1), write_report=write_report)
    return out


def test_ids_without_enough_training_clips_get_null_and_a_reason(out: Path) -> None:
    sections = json.loads((out / "result.json").read_text())["machines"]["fan"]["sections"]
    assert sections["id_00"]["auc"] == 1.0
    assert sections["id_02"]["auc"] is None
    assert "20 s of normal sound" in sections["id_02"]["reason"]
    assert sections["id_04"]["auc"] is None
    assert "no training clips" in sections["id_04"]["reason"]
    assert not (out / "anomaly_score_fan_id_04.csv").exists()


def test_a_training_clip_that_cannot_be_read_is_listed(out: Path) -> None:
    rejected = json.loads((out / "result.json").read_text())["rejected"]
    assert [Path(file["file"]).name for file in rejected] == ["normal_id_00_00000050.wav"]


def test_strict_makes_a_silent_training_clip_an_error(dataset: Path, tmp_path: Path) -> None:
    train = tmp_path / "data" / "fan" / "train"
    shutil.copytree(dataset / "fan", train.parent)
    (train / "normal_id_00_00000050.wav").unlink()
    silent = train / "normal_id_00_00000003.wav"
    soundfile.write(silent, np.zeros(10 * RATE_HZ), RATE_HZ)
    with pytest.raises(DatasetError, match=rf"{silent.name}: no second of it can be learned from"):
        replay(ReplaySettings(tmp_path / "data", out=tmp_path / "out", strict=True, jobs=1))
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_fitted_detectors_are_model_files_that_give_the_same_scores(
    dataset: Path, out: Path, tmp_path: Path
) -> None:
    model = out / "models" / "fan_id_00.asd"
    assert model_file.read_manifest(model)[0].targets == ("fan/id_00",)
    replay(ReplaySettings(dataset, model=str(model), out=tmp_path, jobs=1))
    name = "anomaly_score_fan_id_00.csv"
    assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_lazy_clips_fit_the_same_detector(dataset: Path) -> None:
    paths = sorted((dataset / "fan" / "train").glob("normal_id_00_0000000*"))
    lazy, rejected = open_training_clips(paths, ClipCache(RATE_HZ, 0))
    assert rejected == ()
    eager = [Recording(path.name, read_recording(path, RATE_HZ)) for path in paths]
    first, second = fit(lazy, target="fan"), fit(eager, target="fan")
    assert first.manifest.training == second.manifest.training
    assert first.manifest.calibrations == second.manifest.calibrations
    for name, tensor in first.module.state_dict().items():
        assert tensor.equal(second.module.state_dict()[name]), name


def test_test_clips_at_another_rate_than_the_training_clips_are_noted(
    dataset: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(dataset, copy)
    for path in (copy / "fan" / "test").glob("*_id_00_*.wav"):
        samples, _ = soundfile.read(path)
        soundfile.write(path, soxr.resample(samples, RATE_HZ, 48_000), 48_000)
    out = tmp_path / "out"
    result = replay(ReplaySettings(copy, out=out, jobs=1), write_report=write_report)
    note = "4 of 4 test clips were recorded at 48000 Hz, the learned ones at 16000 Hz"
    assert any(note in line for line in result.notes)
    assert note in (out / "report.html").read_text()
    assert note in (out / "result.json").read_text()


def test_the_report_explains_the_evidence(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "where the score comes from: deviation of log-mel power" in page


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_and_keeps_finished_jobs(
    tmp_path: Path, out: Path, signal_number: int
) -> None:
    clip = tmp_path / "clip.wav"
    write_fan(clip, 3)
    for number in range(260):
        link = tmp_path / "data" / "fan" / "test" / f"normal_id_00_{number:08d}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(clip, link)
    code = (
        "import sys, asd_monitor.commands.replay as c, typer\n"
        "if __name__ == '__main__':\n"
        "    app = typer.Typer(); app.command()(c.replay); app()\n"
    )
    script = tmp_path / "command.py"
    script.write_text(code)
    model, result = out / "models" / "fan_id_00.asd", tmp_path / "out"
    command = [sys.executable, str(script), str(tmp_path / "data"), "--model", str(model)]
    command += ["--out", str(result), "--jobs", "2", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list(result.glob("work/*/scores-*")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    if signal_number == signal.SIGINT:  # as a terminal sends Ctrl-C, to the whole group
        os.killpg(process.pid, signal_number)
    else:
        process.send_signal(signal_number)
    _, messages = process.communicate(timeout=400)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "run the same command again to resume" in messages
    finished = list(result.glob("work/*/scores-*"))
    assert 0 < len(finished) < 9
    assert not (result / "result.json").exists()
