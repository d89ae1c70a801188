"""The demo tells its whole story, by itself, and ends well."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asd_monitor.commands.offline_extra import PACKAGES
from asd_monitor.demo.demo import DemoSource, Story
from asd_monitor.records import State, Transition
from tests.rig.hidden_packages import environment_without

COMMAND = [sys.executable, "-m", "asd_monitor.cli", "demo"]


def test_the_story_has_a_quiet_beginning_a_fault_and_a_quiet_end() -> None:
    story = Story.lasting(100.0)
    assert story.fault_level(0.0) == 0.0
    assert story.fault_level(54.0) == 1.0
    assert story.fault_level(56.0) == 0.0
    assert 0.0 < story.fault_level(21.0) < 1.0
    assert len({story.chapter(at_s) for at_s in (0.0, 30.0, 80.0)}) == 3


def test_the_source_waits_for_its_reader_while_learning() -> None:
    source = DemoSource(Story.lasting(30.0))
    source.open(lambda: None)
    time.sleep(1.0)
    heard = sum(len(chunk.samples) for chunk in source.read())
    source.close()
    assert 0 < heard <= 22 * 16_000


def test_a_clock_that_is_set_does_not_end_the_story(monkeypatch: pytest.MonkeyPatch) -> None:
    source = DemoSource(Story.lasting(30.0))
    source.open(lambda: None)
    source.emit(Transition("pump", "1", State.NORMAL, State.LEARNING, "", 0.0, provisional=False))
    while source.story_began_at is None:
        source.read()
        time.sleep(0.01)
    assert not source.story_has_ended()
    later = time.time() + 3600.0
    monkeypatch.setattr(time, "time", lambda: later)
    assert not source.story_has_ended()
    source.close()


def test_the_alarm_rises_and_clears_by_itself_without_the_offline_extra(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--duration", "45", "--json"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170, check=True,
        env=environment_without(PACKAGES, tmp_path),
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])
    assert 9.0 <= seen["raised_at_s"] < seen["cleared_at_s"] <= 45.0
    assert seen["final_state"] == "NORMAL"
    assert seen["lost_frames"] == 0
    assert seen["windows"] >= 35
    assert seen["mqtt_messages"] > seen["windows"]
    for told in ("LEARNING", "a bearing of the pump is failing", "NORMAL", "metrics at http://"):
        assert told in done.stderr
    assert "\x1b[" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_its_summary(number: signal.Signals) -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the pump runs well" in line:
                break
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "what the demo saw" in rest
    assert "final state" in rest
    assert "Traceback" not in rest
