"""Days of scores in minutes by the whole program, with a broker that comes and goes."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from asd_monitor.outbox.stored import count_waiting
from tests.rig import toy_model
from tests.rig.mosquitto import Mosquitto
from tests.rig.toy_monitor import ToyMonitor, running_toy

HOP_S = 1.0
"""Distance between the windows of the simulated day; the program scores faster than that."""


class Usage(NamedTuple):
    """What the process needed after a number of windows."""

    windows: int
    memory_mb: float
    threads: int
    files: int


def flap(monitor: ToyMonitor, broker: Mosquitto, windows: int, pause_s: float) -> list[Usage]:
    """Stop and start a broker until this many windows are scored; return the usage each time."""
    usages = []
    while (scored := monitor.windows()) < windows:
        broker.kill()
        time.sleep(pause_s)
        broker.start()
        time.sleep(pause_s)
        usages.append(Usage(scored, *monitor.usage()))
    return usages


def run_flapping(folder: Path, windows: int, pause_s: float) -> list[Usage]:
    """Run the program for a number of windows with a flapping broker; check that none is lost."""
    broker = Mosquitto(folder)
    mqtt = {
        "host": "127.0.0.1",
        "port": broker.port,
        "reconnect_min_s": 0.05,
        "reconnect_max_s": 0.1,
        "outbox": {"replay_per_s": 10_000, "max_mb": 50.0},
    }
    scores = {"log": {"scores": str(folder / "scores.jsonl")}}
    with broker, running_toy(folder, mqtt=mqtt, **scores) as monitor:
        usages = flap(monitor, broker, windows, pause_s)
        monitor.wait_for(
            lambda: monitor.value("asd_queue_depth", queue="mqtt_scores") < 1000, "the backlog", 300
        )
        assert monitor.value("asd_dropped_total") == 0
        summary = monitor.stop()
    assert summary["windows"] == summary["machines"]["pump"]["scored"] >= windows
    assert count_waiting(monitor.state / "outbox.db").scores < 1000
    return usages


def test_a_flapping_broker_costs_neither_scores_nor_threads_nor_files(tmp_path: Path) -> None:
    usages = run_flapping(tmp_path, windows=6000, pause_s=0.3)
    assert len(usages) >= 2
    assert max(usage.threads for usage in usages) <= 16
    assert max(usage.files for usage in usages) <= 40


@pytest.mark.soak
def test_memory_threads_and_files_stay_flat_in_simulated_days_with_a_flapping_broker(
    tmp_path: Path,
) -> None:
    usages = run_flapping(tmp_path, windows=260_000, pause_s=0.6)  # three days
    warm = [usage for usage in usages if usage.windows > 65_000]
    hours = [usage.windows * HOP_S / 3600 for usage in warm]
    slope_mb_per_h = float(np.polyfit(hours, [usage.memory_mb for usage in warm], 1)[0])
    print(f"{len(usages)} outages, {warm[0]} to {warm[-1]}, {slope_mb_per_h:.3f} MB per hour")
    assert slope_mb_per_h < 1.0
    assert max(usage.threads for usage in warm) <= max(usage.threads for usage in usages[:20]) + 2
    assert max(usage.files for usage in warm) <= max(usage.files for usage in usages[:20]) + 2


def test_programs_that_take_all_processors_cost_no_window(tmp_path: Path) -> None:
    recordings = tmp_path / "paced"
    recordings.mkdir()
    sound = toy_model.noise(400).reshape(-1)
    soundfile.write(recordings / "normal.wav", sound, toy_model.RATE_HZ)
    source = {"wav": {"paths": [str(recordings)], "loop": True}}
    count = 2 * (os.cpu_count() or 1)
    with running_toy(tmp_path, source) as monitor, ExitStack() as stack:
        for _ in range(count):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        start = monitor.windows()
        monitor.wait_for(lambda: monitor.windows() >= start + 60, "scores")
        stack.close()
        summary = monitor.stop()
    assert summary["windows"] == summary["machines"]["pump"]["scored"]
    assert summary["lost_samples"] == 0
