"""The clock of the computer is set while the whole program monitors a microphone."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.rig import toy_model
from tests.rig.shifted_clock import ShiftedClock
from tests.rig.toy_monitor import ToyMonitor, running_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

SHIFTS_S = (-3600.0, 86_400.0, 0.0)


def wait_for_windows(monitor: ToyMonitor, count: int) -> None:
    monitor.wait_for(lambda: monitor.windows() >= count, f"{count} windows")


def wait_for_steps(monitor: ToyMonitor, count: float) -> None:
    monitor.wait_for(lambda: monitor.value("asd_clock_steps_total") == count, f"{count} steps")


@pytest.mark.real_time
def test_a_clock_that_is_set_costs_no_window_and_is_reported(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    samples = (toy_model.noise(400).reshape(-1) * 32767).astype(np.int16)
    virtual_microphones(pump=VirtualSound(samples, rate_hz=toy_model.RATE_HZ))
    clock = ShiftedClock(tmp_path)
    scores = tmp_path / "scores.jsonl"
    source = {"mic": {"device": "pump"}}
    log = {"scores": str(scores)}
    with running_toy(tmp_path, source, clock.environment, log=log) as monitor:
        for shift_s in SHIFTS_S:
            start, steps = monitor.windows(), monitor.value("asd_clock_steps_total")
            clock.set(shift_s)
            wait_for_steps(monitor, steps + 1)
            wait_for_windows(monitor, start + 40)
        summary = monitor.stop()
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    assert [line["window"] for line in lines] == list(range(summary["windows"]))
    assert summary["lost_samples"] == 0
    latencies_ms = [line["latency_ms"] for line in lines if line["latency_ms"] is not None]
    assert len(latencies_ms) > len(lines) - 20
    assert max(latencies_ms) < 60_000  # less than any of the steps
    messages = monitor.log.read_text()
    assert "the system clock was set back by 3600 s" in messages
    assert "the system clock was set forward by 90000 s" in messages
    assert "the system clock was set back by 86400 s" in messages
