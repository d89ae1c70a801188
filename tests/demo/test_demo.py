"""The demo runs its whole scenario without help, and ends in the normal state."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asd_monitor.commands.offline_extra import PACKAGES
from asd_monitor.demo.scenario import Scenario
from asd_monitor.demo.source import DemoSource
from asd_monitor.records import State, Transition
from tests.rig.hidden_packages import environment_without

COMMAND = [sys.executable, "-m", "asd_monitor.cli", "demo"]


def test_the_scenario_has_a_normal_beginning_a_fault_and_a_normal_end() -> None:
    scenario = Scenario.of_duration(100.0)
    assert scenario.fault_level(0.0) == 0.0
    assert scenario.fault_level(46.0) == 1.0
    assert scenario.fault_level(48.0) == 0.0
    assert 0.0 < scenario.fault_level(13.0) < 1.0
    assert len({scenario.phase(at_s) for at_s in (0.0, 30.0, 80.0)}) == 3


def test_the_source_waits_for_its_reader_while_learning() -> None:
    source = DemoSource("pump", Scenario.of_duration(30.0), learn_s=90.0)
    source.open(lambda: None)
    time.sleep(1.0)
    samples = sum(len(chunk.samples) for chunk in source.read())
    source.close()
    assert 0 < samples <= 22 * 16_000


def test_setting_the_clock_does_not_end_the_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    source = DemoSource("pump", Scenario.of_duration(30.0), learn_s=90.0)
    source.open(lambda: None)
    source.emit(Transition("pump", "1", State.NORMAL, State.LEARNING, "", 0.0, provisional=False))
    while source.scenario_started_at is None:
        source.read()
        time.sleep(0.01)
    assert not source.finished()
    later = time.time() + 3600.0
    monkeypatch.setattr(time, "time", lambda: later)
    assert not source.finished()
    source.close()


@pytest.mark.real_time
def test_the_alarm_rises_and_clears_by_itself_without_the_offline_extra(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--duration", "110", "--json"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=True,
        env=environment_without(PACKAGES, tmp_path),
    )  # fmt: skip
    summary = json.loads(done.stdout.splitlines()[-1])
    assert 13.0 <= summary["raised_at_s"] < summary["cleared_at_s"] <= 110.0
    assert summary["final_state"] == "NORMAL"
    assert summary["lost_samples"] == 0
    assert summary["windows"] >= 100
    assert summary["mqtt_messages"] > summary["windows"]
    for text in ("LEARNING", "a bearing of the pump is failing", "NORMAL", "metrics at http://"):
        assert text in done.stderr
    assert "\x1b[" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_its_summary(number: signal.Signals) -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the pump runs normally" in line:
                break
        process.send_signal(number)
        _, rest = process.communicate(timeout=400)
    assert process.returncode == 0
    assert "summary of the demo" in rest
    assert "final state" in rest
    assert "Traceback" not in rest
