"""Recordings of learning are kept as long as asked for, or never written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.config import LearnSettings
from asd_monitor.records import Window
from asd_monitor.runtime.recording_retention import remove_old_recordings
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.runtime.state_dir import StateFolder

NOW_S, DAY_S = 1_800_000_000.0, 86_400.0


def make(path: Path, days_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sound")
    os.utime(path, (NOW_S - days_ago * DAY_S,) * 2)
    return path


def test_recordings_are_deleted_after_their_time_but_not_before_they_were_learned_from(
    tmp_path: Path,
) -> None:
    state = StateFolder(tmp_path)
    folder = state.recordings_path("pump")
    old, newer = (make(folder / f"normal_id_00_0000000{n}.wav", 40 - 20 * n) for n in (0, 1))
    confirmed = make(folder.parent / "feedback" / "event.flac", 300)
    archived = make(tmp_path / "archived-recordings/pump-20260101T000000Z/train/a.wav", 300)
    other = make(state.recordings_path("fan") / "normal_id_00_00000000.wav", 300)
    assert remove_old_recordings(state, "pump", 0, NOW_S) == 0  # there is no model
    make(state.model_path("pump"), 50)
    assert remove_old_recordings(state, "pump", 0, NOW_S) == 1  # the others are newer than it
    assert not archived.exists()
    make(state.model_path("pump"), 10)
    assert remove_old_recordings(state, "pump", 30, NOW_S) == 1
    assert not old.exists()
    assert newer.exists()
    assert remove_old_recordings(state, "pump", 0, NOW_S) == 1
    assert not newer.exists()
    assert confirmed.exists()
    assert other.exists()


def test_the_setting_is_a_number_of_days_or_yes_or_no() -> None:
    assert LearnSettings().kept_days is None
    assert LearnSettings(keep_recordings=False).kept_days == 0
    assert LearnSettings.model_validate({"keep_recordings": 1}).kept_days == 1
    with pytest.raises(ValueError, match="at most 120 minutes"):
        LearnSettings(keep_recordings=False, minutes=600)


def test_a_store_without_files_has_the_recordings_and_writes_none(tmp_path: Path) -> None:
    store = RecordingStore("pump", tmp_path, 8000, "now", on_disk=False)
    samples = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    assert store.add(Window("pump", samples, 0, 1.0))
    assert not store.add(Window("pump", samples, 8000, 2.0))
    assert len(store.recordings) == 1
    assert list(tmp_path.rglob("*")) == []


def test_a_machine_is_learned_and_monitored_without_a_trace_of_its_sound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.05, 16_000 * 30).astype(np.float32)
    soundfile.write(tmp_path / "normal.wav", sound, 16_000)
    (tmp_path / "monitor.yaml").write_text(
        "state_dir: state\nmqtt: off\nprometheus: off\nweb: off\n"
        "evidence: {keep: picture}\nlearn: {minutes: 0.34, keep_recordings: false}\n"
        "machines: {pump: {wav: {paths: [normal.wav], paced: false}}}\n"
    )
    command = "from asd_monitor.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, "run", "--config", "monitor.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    state = tmp_path / "state"
    assert (state / "models" / "pump.asd").is_file(), done.stderr
    files = [path for path in state.rglob("*") if path.is_file()]
    magic = (b"RIFF", b"fLaC", b"OggS")
    assert [path for path in files if path.read_bytes()[:4] in magic] == []
    assert list(state.rglob("*.part")) == []
