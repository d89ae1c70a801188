"""A power cut on a real ext4 file system loses nothing that was called written."""

import filecmp
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.model_file import read_manifest
from asd_monitor.outbox.rows import Lane
from asd_monitor.records import Window
from asd_monitor.runtime.model_store import save_model
from asd_monitor.runtime.recording_store import FILE_PATTERN, RecordingStore
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks import score_file
from asd_monitor.sinks.rotating_file import RotatingFile, Rotation
from asd_monitor.sinks.score_file import ScoreFile
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import wait_until
from tests.rig.outbox import Clock, crash, draft, make_outbox, put, wait_for_disk
from tests.rig.records import scored_window
from tests.rig.sink_process import is_intact, read_keys
from tests.rig.toy_model import save_toy

RATE_HZ = 16_000


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount an image; skip the test where that is not permitted."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root and a loop device")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 file system in a file."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(48_000_000)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is missing")
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


@contextmanager
def cut(image: Path, running: Path) -> Iterator[Path]:
    """Mount what the disk holds at this moment, as after a power cut and a restart."""
    copy = image.with_name("after.img")
    assert list(running.iterdir())
    while True:  # until the kernel has written nothing meanwhile
        shutil.copyfile(image, copy)
        if filecmp.cmp(image, copy, shallow=False):
            break
    with mounted(copy, image.with_name("after")) as folder:
        yield folder


def test_recordings_models_and_scores_survive_a_power_cut(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_file, "SYNC_INTERVAL_S", 0.05)
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


def cut_the_power_of_an_outbox(image: Path, folder: Path, cuts: int) -> tuple[int, int]:
    """Cut the power while an outbox is written; return the messages written, and most scores lost.

    An event and everything before it is on the disk as soon as it was synchronised, which follows
    its commit; scores after it may be lost.
    """
    rng = random.Random(3)  # noqa: S311 - a reproducible test
    number = most_lost = 0
    with mounted(image, folder) as disk:
        path = disk / "outbox.db"
        outbox = make_outbox(path, clock=(clock := Clock()))
        for _ in range(cuts):
            for _ in range(rng.randrange(1, 20)):
                put(outbox, draft(number), draft(number + 1, Lane.EVENT))
                outbox.maintain()
                clock.now_s += rng.choice([0.01, 1.0, 40.0])  # the log is emptied meanwhile
                number += 2
            wait_for_disk(outbox)
            synchronised = read_keys(path)
            put(outbox, *map(draft, range(number, number + 5)))
            number += 5
            with cut(image, disk) as after:
                assert is_intact(after / "outbox.db")
                kept = read_keys(after / "outbox.db")
            assert len(synchronised) == number - 5
            assert synchronised <= kept <= read_keys(path)
            most_lost = max(most_lost, number - len(kept))
        crash(outbox)
    return number, most_lost


def test_no_event_of_an_outbox_is_lost_by_a_power_cut(tmp_path: Path, image: Path) -> None:
    assert cut_the_power_of_an_outbox(image, tmp_path / "disk", cuts=4)[0] > 20


@pytest.mark.soak
def test_no_event_of_an_outbox_is_lost_by_a_hundred_power_cuts(tmp_path: Path, image: Path) -> None:
    written, most_lost = cut_the_power_of_an_outbox(image, tmp_path / "disk", cuts=100)
    print(f"{written} messages written, at most {most_lost} scores lost by a cut")
    assert most_lost <= 5
