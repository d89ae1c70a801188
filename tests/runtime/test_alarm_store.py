"""The file that carries a machine's alarm over a restart."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile
from prometheus_client import CollectorRegistry

from asd_monitor.config import from_options
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_memory import AlarmMemory, StandingAlarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.records import Record, SourceState, State, Transition
from asd_monitor.runtime.alarm_store import AlarmStore, ModelIdentity, StoredAlarm
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import wait_until
from tests.rig.records import event, health
from tests.rig.toy_model import RATE_HZ, noise, save_toy

MODEL = ModelIdentity(sha256="0f" * 32, target="pump")
NOW = 1_796_000_000.0
STANDING = StandingAlarm(
    state=State.ALARM, since=NOW - 900, reason="3 of 5 windows", rule="window",
    transition_id="run-pump-3", provisional=False,
)  # fmt: skip
DAY_S = 86_400.0


class Rig:
    """A store of one machine, whose clock is at NOW."""

    def __init__(self, path: Path) -> None:
        self.registry = CollectorRegistry()
        self.alarm = Alarm("pump", AlarmSettings(), "run")
        self.store = AlarmStore(
            {"pump": path}, {"pump": self.alarm}, {"pump": MODEL}, Metrics(self.registry),
            clock=lambda: NOW,
        )  # fmt: skip

    def resume(self) -> State:
        self.store.resume("pump")
        return self.alarm.initial_transition(NOW).state

    def has_write_errors(self, count: int) -> bool:
        return self.errors("write") == count

    def errors(self, operation: str) -> float | None:
        return self.registry.get_sample_value(
            "asd_alarm_file_errors_total", {"operation": operation}
        )


def write(path: Path, *, age_s: float = 5.0, model: ModelIdentity = MODEL) -> dict[str, Any]:
    """Write the file of a standing alarm; return its content."""
    memory = AlarmMemory(state=State.ALARM, standing=STANDING)
    StoredAlarm(written_at=NOW - age_s, model=model, memory=memory, event_id="e1").write(path)
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def test_a_standing_alarm_is_continued_with_its_event(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "pump.json")
    write(tmp_path / "pump.json")
    assert rig.resume() is State.ALARM
    assert rig.store.open_events == {"pump": "e1"}


@pytest.mark.parametrize(
    ("age_s", "state"),
    [(6 * DAY_S, State.ALARM), (8 * DAY_S, State.UNKNOWN), (-3600.0, State.ALARM)],
)
def test_an_alarm_is_continued_after_an_interruption_of_up_to_a_week(
    tmp_path: Path, age_s: float, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "pump.json", age_s=age_s)
    assert Rig(tmp_path / "pump.json").resume() is state
    assert ("nothing was monitored for 8 days" in caplog.text) == (state is State.UNKNOWN)


@pytest.mark.parametrize("changes", [{"sha256": "ab" * 32}, {"target": "fan"}])
def test_an_alarm_of_another_model_is_not_continued(
    tmp_path: Path, changes: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "pump.json", model=MODEL.model_copy(update=changes))
    assert Rig(tmp_path / "pump.json").resume() is State.UNKNOWN
    assert "ALARM from before the restart is not continued: the model has changed" in caplog.text


def change(key: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    def apply(content: dict[str, Any]) -> bytes:
        return json.dumps({**content, key: value}).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: json.dumps(content).encode()[:60],
        lambda content: b"\xff\x00" * 50,
        lambda content: b"[" * 100_000,
        lambda content: b"[]",
        change("version", 2),
        change("written_at", "soon"),
        change("memory", {"state": "ASLEEP"}),
        change("memory", None),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_and_counted(
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, rig = tmp_path / "pump.json", Rig(tmp_path / "pump.json")
    content = damage(write(path))
    path.write_bytes(content)
    assert rig.resume() is State.UNKNOWN
    assert rig.errors("read") == 1
    assert (tmp_path / "pump.damaged").read_bytes() == content
    assert "was moved to pump.damaged" in caplog.text
    assert not path.exists()


def test_members_of_later_versions_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "pump.json"
    content = write(path)
    content["memory"]["later"] = content["later"] = {"a": 1}
    path.write_text(json.dumps(content))
    assert Rig(path).resume() is State.ALARM


def test_the_end_of_the_monitor_does_not_replace_the_alarm(tmp_path: Path) -> None:
    path = tmp_path / "pump.json"
    write(path)
    rig = Rig(path)
    rig.resume()
    rig.store.open()
    rig.store.emit(event("run-pump-4"))
    rig.store.emit(health(SourceState.CLOSED))
    rig.alarm.mark_unknown("the monitor has stopped", NOW)
    rig.store.emit(event("run-pump-5", State.UNKNOWN))
    rig.store.close()
    assert json.loads(path.read_text())["memory"]["state"] == "ALARM"


def test_a_disk_that_cannot_be_written_is_counted_and_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alarms").write_text("a file instead of a folder")
    rig = Rig(tmp_path / "alarms" / "pump.json")
    rig.store.open()
    for number in range(3):
        rig.alarm.mark_unknown(f"reason {number}", NOW)
        rig.store._queued.clear()
        rig.store.emit(event(f"run-pump-{number}", State.UNKNOWN))
        wait_until(partial(rig.has_write_errors, number + 1), "the failure")
    rig.store.close()
    assert sum("a restart would not continue" in record.message for record in caplog.records) == 1


class Collector:
    """A sink that keeps changes of state."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def open(self) -> None: ...

    def emit(self, record: Record) -> None:
        if isinstance(record, Transition):
            self.transitions.append(record)

    def close(self) -> None: ...


@pytest.mark.real_time
def test_an_alarm_is_continued_after_sigkill(tmp_path: Path) -> None:
    """A real process is killed during an alarm; the next one plays normal sound."""
    sound, state = tmp_path / "sound.wav", tmp_path / "state"
    soundfile.write(sound, noise(100, -6.0).reshape(-1), RATE_HZ)
    machine = {
        "wav": {"paths": [str(sound)], "loop": True},
        "model": str(save_toy(tmp_path / "toy.asd")),
        "alarm": {"hold_s": 3600},
    }
    options: dict[str, Any] = {"machines": {"pump": machine}, "state_dir": str(state)}
    options |= dict.fromkeys(("mqtt", "prometheus", "web", "history"))
    config = tmp_path / "pump.yaml"
    config.write_text(json.dumps(options))
    file = state / "alarms" / "pump.json"
    command = [sys.executable, "-m", "asd_monitor.cli", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_until(lambda: b'"state":"ALARM"' in (file.read_bytes() if file.exists() else b""),
                   "the alarm", 60)  # fmt: skip
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    stored = json.loads(file.read_bytes())
    standing = stored["memory"]["standing"]
    soundfile.write(sound, noise(100, -26.0).reshape(-1), RATE_HZ)
    collector = Collector()
    handle = build_monitor(from_options(options), extra_sinks=[collector])
    handle.monitor.start()
    try:
        wait_until(
            lambda: "no unusual sound for" in handle.status().machines["pump"].reason, "a window"
        )
        assert handle.status().machines["pump"].state is State.ALARM
    finally:
        handle.close()
    first = collector.transitions[0]
    assert (first.state, first.captured_at) == (State.ALARM, standing["since"])
    assert first.transition_id == standing["transition_id"]
    assert first.event_id == stored["event_id"] != ""
    assert [transition.state for transition in collector.transitions[:-1]] == [State.ALARM]
    assert json.loads(file.read_bytes())["memory"]["standing"] == standing
