"""A power cut on a real ext4 file system loses nothing that was called written."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.model_file import read_manifest
from asd_monitor.records import Window
from asd_monitor.runtime.model_store import save_model
from asd_monitor.runtime.recording_store import FILE_PATTERN, RecordingStore
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks import score_file
from asd_monitor.sinks.rotating_file import RotatingFile, Rotation
from asd_monitor.sinks.score_file import ScoreFile
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import wait_until
from tests.rig.records import scored_window
from tests.rig.toy_model import save_toy

RATE_HZ = 16_000


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount an image; skip the test where that is not permitted."""
    folder.mkdir()
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root and a loop device")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def cut(image: Path, running: Path) -> Iterator[Path]:
    """Mount what the disk holds at this moment, as after a power cut and a restart."""
    copy = image.with_name("after.img")
    shutil.copyfile(image, copy)
    assert list(running.iterdir())
    with mounted(copy, image.with_name("after")) as folder:
        yield folder


def test_recordings_models_and_scores_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_file, "SYNC_INTERVAL_S", 0.05)
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(48_000_000)
    made = subprocess.run(["mkfs.ext4", "-q", image], capture_output=True)
    if made.returncode:
        pytest.skip("mkfs.ext4 is missing")
    content = save_toy(tmp_path / "toy.asd").read_bytes()
    with mounted(image, tmp_path / "disk") as disk:
        state = StateFolder(disk / "state")
        folder = state.recordings_path("pump")
        store = RecordingStore("pump", folder, RATE_HZ, "now")
        rng = np.random.default_rng(0)
        for index in range(5):
            samples = (0.1 * rng.standard_normal(10 * RATE_HZ)).astype(np.float32)
            clip = Window("pump", samples, index * len(samples), 0.0)
            assert store.add(clip)
        assert save_model(state, "pump", content).content is None
        rotation = Rotation(max_bytes=10**6, max_age_s=1e9, kept=1)
        path = disk / "scores.jsonl"
        scores = ScoreFile(
            RotatingFile(path, rotation, setting="log.scores"), "n", Metrics(CollectorRegistry())
        )
        scores.open()
        for _ in range(20):
            scores.put(scored_window())
        wait_until(lambda: path.read_bytes().count(b"\n") == 20, "the scores")
        wait_until(lambda: scores._unsynced_since is None, "the synchronisation")
        with cut(image, disk) as after:
            kept = sorted((after / "state/recordings/pump/train").glob(FILE_PATTERN))
            assert [path.stat().st_size for path in kept] == [480_044] * 5
            assert read_manifest(after / "state/models/pump.asd")
            assert (after / "scores.jsonl").read_bytes().count(b"\n") == 20
        scores.close()
