"""The real command keeps the evidence of an event, and is consistent after SIGKILL."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.history.reader import HistoryReader

RATE_HZ = 16_000
COMMAND = [sys.executable, "-m", "asd_monitor.cli"]
OFF = ["--mqtt", "off", "--metrics", "off", "--web", "off"]
TIMEOUT_S = 120.0


def pump(seconds: int, start_s: int) -> np.ndarray:
    return np.asarray(PumpSound(3, RATE_HZ).block(start_s * RATE_HZ, seconds * RATE_HZ, 0.0))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a pump that was learned from a minute of recordings."""
    folder = tmp_path_factory.mktemp("learned")
    soundfile.write(folder / "normal.wav", pump(60, 0), RATE_HZ)
    command = [*COMMAND, "learn", "--wav", str(folder / "normal.wav"), "--machine", "pump"]
    options = ["--minutes", "1", "--window", "2", "--state-dir", str(folder / "state")]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=TIMEOUT_S)
    return folder / "state"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pump that runs normally for 40 s, whistles at 3 kHz for 20 s, and is normal again."""
    sound = pump(90, 60)
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    sound[40 * RATE_HZ : 60 * RATE_HZ] += 0.02 * np.sin(2 * np.pi * 3000 * time_s)
    path = tmp_path_factory.mktemp("recording") / "pump.wav"
    soundfile.write(path, sound, RATE_HZ)
    return path


def command(state: Path, recording: Path) -> list[str]:
    options = ["--machine", "pump", "--fast", "--state-dir", str(state), *OFF, "--json"]
    return [*COMMAND, "run", "--wav", str(recording), *options]


def run(state: Path, recording: Path) -> dict[str, Any]:
    done = subprocess.run(
        command(state, recording), check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    summary: dict[str, Any] = json.loads(done.stdout)["machines"]["pump"]
    return summary


def test_a_run_keeps_what_changed_in_the_sound(state: Path, recording: Path) -> None:
    summary = run(state, recording)
    reader = HistoryReader(state / "history.db")
    event = reader.event(summary["event_id"])
    assert event is not None
    assert event.headline == summary["headline"]
    assert event.headline.startswith("louder at 3 kHz, by ")
    assert event.headline.endswith((", for 20 s", ", for 21 s"))
    (band,) = event.bands
    assert band.low_hz < 3000 < band.high_hz
    folder = state / "events" / event.id
    assert Path(summary["clip"]) == folder / "clip.flac"
    clip, _ = soundfile.read(folder / "clip.flac", dtype="float32")
    assert len(clip) / RATE_HZ == pytest.approx(event.clip_s)
    whistle = clip[round((band.from_s + 1) * RATE_HZ) :][: 5 * RATE_HZ]
    spectrum = np.abs(np.fft.rfft(whistle))
    high = np.fft.rfftfreq(len(whistle), 1 / RATE_HZ) > 1000
    peak_hz = np.fft.rfftfreq(len(whistle), 1 / RATE_HZ)[high][int(spectrum[high].argmax())]
    assert peak_hz == pytest.approx(3000, abs=1)
    for name in (event.picture, "nearest.png"):
        with Image.open(folder / name) as image:
            assert image.size == (960, 320)
    assert (state / "recordings" / "pump" / "train" / event.nearest_normal).is_file()


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_run_after_sigkill_finds_files_and_history_in_agreement(
    state: Path, recording: Path, tmp_path: Path, delay_s: float
) -> None:
    before = {path.name for path in (state / "events").glob("*")}
    with subprocess.Popen(
        command(state, recording), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            found = {path.name for path in (state / "events").glob("*")} - before
            if found:  # the folder is being written, or was just renamed
                time.sleep(delay_s)
                process.send_signal(signal.SIGKILL)
                break
    soundfile.write(tmp_path / "short.wav", pump(5, 0), RATE_HZ)
    run(state, tmp_path / "short.wav")
    events = {event.id: event for event in HistoryReader(state / "history.db").events()}
    folders = {path.name for path in (state / "events").iterdir()}
    assert folders <= events.keys()
    for event in events.values():
        names = {path.name for path in (state / "events" / event.id).glob("*")}
        assert bool(event.picture) is (event.id in folders)
        assert {event.clip, event.picture} - {""} <= names
        assert not {name for name in names if name.endswith(".part")}
