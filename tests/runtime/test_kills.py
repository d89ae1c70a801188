"""The program is killed at random moments while it writes; the next start continues."""

import random
import time
from pathlib import Path

import pytest
import soundfile

from asd_monitor.model_file import read_manifest
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.forked import start_command
from tests.rig.setup_process import RATE_HZ, pump_sound

CLIPS = 6
"""Of ten seconds each."""


def write_recordings(folder: Path) -> Path:
    folder.mkdir()
    for index in range(CLIPS):
        soundfile.write(folder / f"{index:02d}.wav", pump_sound(10, seed=index), RATE_HZ)
    return folder


def recordings(state: StateFolder) -> list[Path]:
    return list(state.recordings_path("pump").glob("*.wav"))


def check_files(state: StateFolder) -> None:
    """Every file under its final name is whole."""
    for path in recordings(state):
        assert soundfile.info(path).frames == 10 * RATE_HZ
    if state.model_path("pump").exists():
        assert read_manifest(state.model_path("pump"))


def kill_while_learning(folder: Path, kills: int) -> StateFolder:
    """Kill the program at random moments of learning, then let it finish."""
    sounds, state = write_recordings(folder / "sounds"), StateFolder(folder / "state")
    rng = random.Random(5)  # noqa: S311 - a reproducible test
    off = ["--mqtt", "off", "--metrics", "off", "--web", "off", "--json", "--fast"]
    command = ["run", "--wav", sounds, "--machine", "pump", "--learn-minutes", "1", *off]
    command += ["--state-dir", state.root]
    for number in range(kills):
        process = start_command(command, folder / f"log-{number}")
        count = len(recordings(state))
        while process.is_alive() and len(recordings(state)) < min(CLIPS, count + 2):
            time.sleep(0.002)
        if number % 2:  # while the model is fitted and saved
            time.sleep(rng.uniform(0.0, 2.0))
        process.kill()
        process.join()
        check_files(state)
        if number % 3 == 2:  # learn again
            state.model_path("pump").unlink(missing_ok=True)
    process = start_command(command, folder / "log-last")
    process.join(400)
    assert process.exitcode == 0, (folder / "log-last").read_text()
    assert read_manifest(state.model_path("pump"))
    assert len(recordings(state)) == CLIPS
    assert not list(state.root.rglob("*unfinished*"))
    return state


def kill_while_calibrating(state: StateFolder, sounds: Path, kills: int) -> int:
    """Kill `calibrate` at random moments; return how often the model had been replaced."""
    rng = random.Random(6)  # noqa: S311 - a reproducible test
    command = ["calibrate", sounds, "--machine", "pump", "--state-dir", state.root, "--json"]
    replaced = 0
    for _ in range(kills):
        before = read_manifest(state.model_path("pump"))[1]
        process = start_command(command, state.root.parent / "log")
        time.sleep(rng.uniform(0.2, 5.0))
        process.kill()
        process.join()
        check_files(state)
        replaced += read_manifest(state.model_path("pump"))[1] != before
    return replaced


def test_learning_survives_kills_at_random_moments(tmp_path: Path) -> None:
    kill_while_learning(tmp_path, kills=2)


@pytest.mark.soak
def test_learning_and_calibrating_survive_many_kills_at_random_moments(tmp_path: Path) -> None:
    state = kill_while_learning(tmp_path, kills=60)
    replaced = kill_while_calibrating(state, tmp_path / "sounds", kills=40)
    print(f"the model had been replaced before {replaced} of 40 kills")
