"""The real command with the real PortAudio, mosquitto and Prometheus, and virtual microphones.

The tests act only through signals, faults of the microphones and faults of the broker.
"""

import json
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import yaml

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.model_file import read_manifest
from tests.rig.mosquitto import Collector, DurableBroker, Mosquitto, keep_session, wait_until
from tests.rig.ports import free_port
from tests.rig.prometheus import running_prometheus
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualMicrophones,
    VirtualSound,
)

RATE_HZ = 16_000
COMMAND = [sys.executable, "-m", "asd_monitor.cli"]
TIMEOUT_S = 240.0


def pump(seconds: int, fault_level: float = 0.0, start_s: int = 0) -> npt.NDArray[np.int16]:
    sound = PumpSound(3, RATE_HZ).block(start_s * RATE_HZ, seconds * RATE_HZ, fault_level)
    return (sound * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model learned by the command from two minutes of recordings."""
    folder = tmp_path_factory.mktemp("learned")
    for index in range(12):
        path = folder / f"normal_{index:02d}.wav"
        soundfile.write(path, pump(10, start_s=10 * index), RATE_HZ)
    state = folder / "state"
    command = [*COMMAND, "learn", "--wav", str(folder), "--machine", "pump", "--minutes", "2"]
    done = subprocess.run(
        [*command, "--window", "2", "--state-dir", str(state), "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    return Path(json.loads(done.stdout)["models"]["pump"])


def test_only_the_owner_can_read_what_is_recorded_whatever_the_umask(model: Path) -> None:
    state = model.parent.parent
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.rglob("*"))}
    assert [path for path, mode in modes.items() if mode & 0o077] == []
    assert list(state.glob("recordings/pump/train/*.wav"))


@dataclass
class Daemon:
    """A running ``asd-monitor run`` with its microphones, broker and subscriber."""

    process: subprocess.Popen[str]
    mics: VirtualMicrophones
    broker: Mosquitto
    subscriber: Collector
    metrics_port: int
    log: Path

    def payloads(self, kind: str, machine: str = "pump") -> list[dict[str, Any]]:
        topic = f"asd/test/{machine}/{kind}"
        return [json.loads(m.payload) for m in list(self.subscriber.messages) if m.topic == topic]

    def state(self, machine: str = "pump") -> str:
        states = self.payloads("state", machine)
        return str(states[-1]["state"]) if states else ""

    def status(self) -> list[bytes]:
        return [m.payload for m in self.subscriber.of("asd/test/status")]

    def health(self, machine: str = "pump") -> str:
        healths = self.payloads("health", machine)
        return str(healths[-1]["state"]) if healths else ""

    def wait_for_state(self, state: str, machine: str = "pump") -> None:
        self.wait_for(lambda: self.state(machine) == state, f"{machine} {state}")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            assert self.process.poll() is None, f"the monitor exited: {self.process.returncode}"
            return condition()

        try:
            wait_until(holds, what, TIMEOUT_S)
        except AssertionError as error:
            error.add_note(f"states: {self.states()}; log:\n{self.log.read_text()}")
            raise

    def states(self) -> list[str]:
        return [event["state"] for event in self.payloads("event")]

    def metric(self, name: str, **labels: str) -> float:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        total = 0.0
        for line in lines:
            series, _, value = line.rpartition(" ")
            matches = all(f'{key}="{label}"' in series for key, label in labels.items())
            if series.partition("{")[0] == name and matches:
                total += float(value)
        return total

    def stop(self) -> dict[str, Any]:
        """Stop by SIGTERM and return the summary."""
        self.process.send_signal(signal.SIGTERM)
        stdout, _ = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0
        summary: dict[str, Any] = json.loads(stdout)
        return summary


Start = Callable[..., Daemon]


@pytest.fixture
def start(
    virtual_microphones: MakeMicrophones, tmp_path: Path, model: Path
) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts the monitor with virtual microphones of these names."""
    running: list[Daemon] = []
    broker = DurableBroker(tmp_path)  # otherwise the subscriber has to be back before the monitor
    with broker, Collector(broker.port, configure=keep_session) as subscriber:

        def start(**sounds: VirtualSound) -> Daemon:
            metrics_port = free_port()
            # A second start finds the microphones of the first.
            mics = running[-1].mics if running else virtual_microphones(**sounds)
            config = {
                "node": "test",
                "state_dir": str(tmp_path / "state"),
                "machines": {name: {"mic": name, "model": str(model)} for name in sounds},
                "alarm": {"hold_s": 4},
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "prometheus": {"port": metrics_port},
                "web": None,
            }
            path = tmp_path / "monitor.yaml"
            path.write_text(yaml.safe_dump(config))
            with (tmp_path / "log").open("w") as log:
                process = subprocess.Popen(
                    [*COMMAND, "run", "--config", str(path), "--json"],
                    env=mics.environment,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            running.append(
                Daemon(process, mics, broker, subscriber, metrics_port, tmp_path / "log")
            )
            return running[-1]

        yield start
        for daemon in running:
            daemon.process.kill()
            daemon.process.communicate()


@pytest.mark.real_time
def test_a_fault_raises_the_alarm_and_its_end_clears_the_alarm(start: Start) -> None:
    daemon = start(pump=VirtualSound(pump(60)))
    daemon.wait_for_state("NORMAL")
    daemon.mics["pump"].replace_sound(pump(60, fault_level=1.0))
    daemon.wait_for_state("ALARM")
    assert daemon.metric("asd_alarm_state", machine="pump") == 1
    daemon.mics["pump"].replace_sound(pump(60))
    daemon.wait_for_state("NORMAL")
    summary = daemon.stop()
    assert summary["machines"]["pump"]["alarms"] == 1
    assert summary["cleared_at_s"] > summary["raised_at_s"]
    assert daemon.status()[0] == b"online"
    wait_until(lambda: daemon.status()[-1] == b"offline", "the status at the subscriber")


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("fault", "source_state"), [("unplug", "missing"), ("freeze", "frozen"), ("mute", "silent")]
)
def test_a_microphone_that_fails_is_unknown_until_it_returns(
    start: Start, fault: str, source_state: str
) -> None:
    daemon = start(pump=VirtualSound(pump(40)), other=VirtualSound(pump(40, start_s=50)))
    daemon.wait_for_state("NORMAL")
    daemon.wait_for_state("NORMAL", "other")
    getattr(daemon.mics["pump"], fault)()
    daemon.wait_for_state("UNKNOWN")
    daemon.wait_for(lambda: daemon.health() == source_state, f"health {source_state}")
    assert daemon.metric("asd_source_up", machine="pump") == 0
    before = len(daemon.payloads("score"))
    if fault != "mute":  # a shorter stall loses nothing: the device's buffer holds two seconds
        daemon.wait_for(
            lambda: daemon.metric("asd_audio_lost_samples_total", machine="pump") > 0,
            "the loss to be counted",
        )
    daemon.mics["pump"].restore()
    daemon.wait_for_state("NORMAL")
    daemon.wait_for(lambda: len(daemon.payloads("score")) > before, "a new score")
    assert daemon.state("other") == "NORMAL"
    assert daemon.metric("asd_audio_lost_samples_total", machine="other") == 0
    assert daemon.metric("asd_windows_total", machine="pump", result="late") == 0
    daemon.stop()


@pytest.mark.real_time
def test_a_stall_shorter_than_the_buffer_loses_nothing(start: Start) -> None:
    daemon = start(pump=VirtualSound(pump(40)))
    daemon.wait_for_state("NORMAL")
    began_s = time.monotonic()
    daemon.mics["pump"].freeze()
    time.sleep(1.0)
    daemon.mics["pump"].restore()
    stalled_s = time.monotonic() - began_s
    before = len(daemon.payloads("score"))
    daemon.wait_for(lambda: len(daemon.payloads("score")) >= before + 6, "scores again")
    if stalled_s > 1.5:
        pytest.skip(f"on this busy computer the stall took {stalled_s:.1f} s")
    assert daemon.metric("asd_audio_lost_samples_total", machine="pump") == 0
    assert daemon.metric("asd_windows_total", machine="pump", result="late") == 0
    daemon.stop()


def test_a_microphone_absent_at_the_start_is_waited_for(start: Start) -> None:
    daemon = start(pump=VirtualSound(pump(40), plugged=False))
    daemon.wait_for(lambda: daemon.health() == "missing", "health missing")
    assert daemon.state() == "UNKNOWN"
    daemon.mics["pump"].restore()
    daemon.wait_for_state("NORMAL")
    daemon.stop()


@pytest.mark.real_time
def test_every_window_arrives_although_the_broker_is_killed(start: Start, tmp_path: Path) -> None:
    daemon = start(pump=VirtualSound(pump(40)))
    with running_prometheus(tmp_path, f"127.0.0.1:{daemon.metrics_port}") as prometheus:
        daemon.wait_for(lambda: len(daemon.payloads("score")) >= 4, "scores")
        daemon.broker.kill()
        scored = daemon.metric("asd_windows_total", machine="pump")
        daemon.wait_for(
            lambda: daemon.metric("asd_windows_total", machine="pump") >= scored + 3,
            "windows while the broker is down",
        )
        daemon.broker.start()
        seen = len(daemon.payloads("score"))
        daemon.wait_for(lambda: len(daemon.payloads("score")) >= seen + 3, "scores again")
        daemon.mics["pump"].unplug()
        daemon.wait_for_state("UNKNOWN")
        windows = daemon.metric("asd_windows_total", machine="pump")
        counted = 'sum(asd_windows_total{machine="pump"})'
        daemon.wait_for(lambda: prometheus.value(counted) == windows, "the last window scraped")

    def received() -> list[dict[str, Any]]:
        return [*daemon.payloads("score"), *daemon.payloads("backlog")]

    late = daemon.metric("asd_windows_total", machine="pump", result="late")  # not scored
    scored = windows - late

    def numbers() -> set[int]:
        return {each["window"] for each in received()}

    daemon.wait_for(lambda: len(numbers()) >= scored, "every window")
    assert len(numbers()) == scored
    assert late or numbers() == set(range(int(windows)))
    assert len({(each["epoch"], each["seq"]) for each in received()}) == scored
    assert daemon.metric("asd_dropped_total", queue="mqtt_scores") == 0
    assert daemon.stop()["windows"] in (windows, scored)


@pytest.mark.real_time
def test_an_alarm_raised_while_the_broker_is_away_is_received_after_the_monitor_was_killed(
    start: Start,
) -> None:
    daemon = start(pump=VirtualSound(pump(60)))
    daemon.wait_for_state("NORMAL")
    daemon.broker.kill()
    daemon.mics["pump"].replace_sound(pump(60, fault_level=1.0))
    daemon.wait_for(lambda: daemon.metric("asd_alarm_state", machine="pump") == 1, "the alarm")
    daemon.wait_for(
        lambda: daemon.metric("asd_queue_depth", queue="mqtt_events") > 0, "the alarm's event"
    )
    daemon.process.kill()
    daemon.process.wait()
    daemon.broker.start()
    again = start(pump=VirtualSound(pump(60)))
    again.wait_for(lambda: "ALARM" in again.states(), "the alarm's event at the subscriber")
    alarms = [event for event in again.payloads("event") if event["state"] == "ALARM"]
    assert alarms[0]["replayed"]
    again.stop()


def test_a_killed_monitor_is_reported_offline_by_the_broker(start: Start) -> None:
    daemon = start(pump=VirtualSound(pump(40)))
    daemon.wait_for_state("NORMAL")
    daemon.process.kill()
    daemon.process.wait()

    wait_until(lambda: daemon.status()[-1] == b"offline", "the last will")


@pytest.mark.real_time
def test_the_command_learns_a_machine_and_then_uses_the_model(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    mics = virtual_microphones(pump=VirtualSound(pump(90)))
    options = [
        "--mic",
        "0",
        "--machine",
        "pump",
        "--mqtt",
        "off",
        "--metrics",
        "off",
        "--web",
        "off",
        "--json",
    ]
    options += ["--state-dir", str(tmp_path)]
    command = [*COMMAND, "run", *options]
    first = subprocess.run(
        [*command, "--learn-minutes", "0.33", "--duration", "40"],
        env=mics.environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "LEARNING" in first.stderr
    learned = json.loads(first.stdout)["machines"]["pump"]
    assert learned["scored"] > 0
    recordings = list((tmp_path / "recordings" / "pump" / "train").iterdir())
    assert len(recordings) == 2
    manifest, _ = read_manifest(tmp_path / "models" / "pump.asd")
    microphone = {"id": "alsa:pump", "name": "pump", "port": ""}
    assert manifest.training["microphones"] == [microphone]
    assert "microphone 0 is 'pump' (id alsa:pump)" in first.stderr
    second = subprocess.run(
        [*command, "--no-learn", "--duration", "12"],
        env=mics.environment, capture_output=True, text=True, timeout=400, check=True,
    )  # fmt: skip
    known = json.loads(second.stdout)["machines"]["pump"]
    assert known["model_sha256"] == learned["model_sha256"]
    assert known["final_state"] == "NORMAL"


def test_stopping_while_the_model_is_fitted_exits_cleanly(tmp_path: Path) -> None:
    sounds, state = tmp_path / "sounds", tmp_path / "state"
    sounds.mkdir()
    for index in range(30):
        soundfile.write(sounds / f"{index:02d}.wav", pump(10, start_s=10 * index), RATE_HZ)
    options = [
        "--mqtt",
        "off",
        "--metrics",
        "off",
        "--web",
        "off",
        "--state-dir",
        str(state),
        "--fast",
    ]
    with subprocess.Popen(
        [*COMMAND, "run", "--wav", str(sounds), "--machine", "pump", *options],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = list[str]()
        while not lines or "fitting the model" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], f"it exited before it fitted a model:\n{''.join(lines)}"
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, rest
    assert "the recordings are kept" in rest
    assert len(list((state / "recordings" / "pump" / "train").iterdir())) == 30
    assert not list(state.glob("models/*"))
