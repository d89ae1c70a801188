"""Waiting between the starts of a service that fails each time."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from asd_monitor.errors import ModelFileError
from asd_monitor.runtime.start_backoff import FILE_NAME, StartBackoff
from asd_monitor.runtime.systemd import Notifier


class Time(threading.Event):
    """A clock, and a stop event whose wait lets the clock's time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waited_s = 0.0

    def clock(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        self.waited_s += timeout
        return self.is_set()


def start(folder: Path, time: Time, *, ran_s: float = 0.0, files: tuple[Path, ...] = ()) -> float:
    """Fail a start, as systemd starts it; return the seconds it waited."""
    backoff, waited_s = StartBackoff(folder, Notifier(""), time.clock), time.waited_s
    with suppress(ModelFileError), backoff.around_start(time):
        backoff.watch(files)
        time.now += ran_s
        raise ModelFileError("fan.asd: damaged")
    time.now += 2.0
    return time.waited_s - waited_s


def test_the_waits_double_up_to_five_minutes(tmp_path: Path) -> None:
    time = Time()
    waits = [start(tmp_path, time) for _ in range(11)]
    assert waits == [0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_failure_after_a_minute_of_monitoring_is_the_first_of_a_new_series(
    tmp_path: Path,
) -> None:
    time = Time()
    for _ in range(5):
        start(tmp_path, time)
    assert start(tmp_path, time, ran_s=61.0) == 40
    assert start(tmp_path, time) == 0


def test_a_successful_run_is_the_end_of_a_series(tmp_path: Path) -> None:
    time = Time()
    for _ in range(5):
        start(tmp_path, time)
    with StartBackoff(tmp_path, Notifier(""), time.clock).around_start(time):
        pass
    assert [start(tmp_path, time) for _ in range(3)] == [0, 0, 5]


def test_a_start_by_hand_some_time_after_a_failure_does_not_wait(tmp_path: Path) -> None:
    time = Time()
    for _ in range(5):
        start(tmp_path, time)
    time.now += 61.0
    assert [start(tmp_path, time) for _ in range(3)] == [0, 0, 5]


def test_a_stop_ends_the_wait_and_the_series(tmp_path: Path) -> None:
    time = Time()
    for _ in range(6):
        start(tmp_path, time)
    time.set()
    with StartBackoff(tmp_path, Notifier(""), time.clock).around_start(time):
        pass
    time.clear()
    assert start(tmp_path, time) == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_changed_file_ends_the_wait(tmp_path: Path, exists: bool) -> None:
    model, time = tmp_path / "fan.asd", Time()
    if exists:
        model.write_bytes(b"damaged")
    for _ in range(9):
        start(tmp_path, time, files=(model,))
    model.write_bytes(b"a good model")
    assert start(tmp_path, time, files=(model,)) == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"count": "many"}', "null"])
def test_a_damaged_count_is_no_reason_to_wait_or_to_fail(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert start(tmp_path, Time()) == 0


def test_without_a_runtime_directory_nothing_waits() -> None:
    time, backoff = Time(), StartBackoff.from_environment({})
    for _ in range(5):
        with pytest.raises(ModelFileError), backoff.around_start(time):
            raise ModelFileError("damaged")
    assert time.waited_s == 0


def receive(manager: socket.socket, pattern: str) -> str:
    """Return the first message that matches."""
    while True:
        message = manager.recv(4096).decode()
        if re.search(pattern, message):
            return message


def test_the_status_says_why_it_waits_and_an_edited_configuration_takes_effect(
    tmp_path: Path,
) -> None:
    """The third start of a real process, after two with a missing model."""
    config, runtime = tmp_path / "pump.yaml", tmp_path / "runtime"
    runtime.mkdir()
    text = "machines: {pump: {mic: none, model: /missing.asd}}\nmqtt: off\nprometheus: off\n"
    config.write_text(f"{text}state_dir: {tmp_path}/state\n")
    command = [sys.executable, "-m", "asd_monitor.cli", "run", "--config", str(config)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(240)
        environ = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "RUNTIME_DIRECTORY": str(runtime),
        }
        assert subprocess.run(command, env=environ, capture_output=True).returncode == 3
        count = json.loads((runtime / FILE_NAME).read_text())
        assert count["count"] == 1
        (runtime / FILE_NAME).write_text(json.dumps(count | {"count": 8}))
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
            message = receive(manager, "STATUS=8 starts")
            assert "EXTEND_TIMEOUT_USEC=60000000" in message
            assert re.search("next attempt at .* UTC, or when .*: /missing.asd: ", message)
            config.write_text(config.read_text().replace("model: /missing.asd", ""))
            assert "LEARNING" in receive(manager, "READY=1")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=400)
        assert process.returncode == 0
    assert not (runtime / FILE_NAME).exists()
