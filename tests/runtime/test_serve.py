"""How a running monitor takes signals."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.config import from_options
from asd_monitor.errors import AsdMonitorError, ConfigError
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.serve import serve
from tests.rig.played_source import PlayedSource

TWICE = """
import os, time
from asd_monitor.runtime.signals import stop_signals

with stop_signals() as stop:
    os.kill(os.getpid(), {number})
    print(stop.wait(20), flush=True)
    if {times} == 2:
        os.kill(os.getpid(), {number})
        time.sleep(60)
print("tidied up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_a_request_and_a_second_an_order(number: signal.Signals) -> None:
    def run(times: int) -> "subprocess.CompletedProcess[str]":
        code = TWICE.format(number=int(number), times=times)
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
        )

    once, twice = run(1), run(2)
    assert (once.returncode, once.stdout) == (0, "True\ntidied up\n")
    assert (twice.returncode, twice.stdout, twice.stderr) == (-number, "True\n", "")


def test_a_signal_is_heard_while_the_main_thread_holds_the_lock_of_its_wait() -> None:
    """A handler runs between any two steps of the thread that it interrupts."""
    code = (
        "import os\nfrom asd_monitor.runtime.signals import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    with stop._cond:\n        os.kill(os.getpid(), 15)\n"
        "    print(stop.wait(20))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_stop_before_the_start_lets_nothing_start(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    options = {"machines": {"pump": {"wav": str(tmp_path / "a.wav")}}, "mqtt": None}
    settings = from_options(options | {"prometheus": None, "state_dir": str(tmp_path / "state")})
    stop = threading.Event()
    stop.set()
    handle = build_monitor(settings)
    serve(handle, stop, environ={})
    assert handle.status().machines["pump"].health is None


def test_a_first_signal_after_the_run_has_ended_is_still_a_request() -> None:
    code = (
        "import os\nfrom asd_monitor.runtime.signals import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    stop.set()\n    os.kill(os.getpid(), 2)\n"
        "print('tidied up')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "tidied up\n")


def test_an_end_by_itself_wakes_who_waits_and_tells_why(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    wav = {"paths": [str(tmp_path / "a.wav")], "paced": False}
    options = {"machines": {"pump": {"wav": wav}}, "mqtt": None, "prometheus": None}
    settings = from_options(options | {"state_dir": str(tmp_path / "state")})
    stop = threading.Event()
    with pytest.raises(ConfigError, match="at least 20 s of normal sound"):
        serve(build_monitor(settings), stop, environ={})
    assert stop.is_set()


def test_a_fault_of_the_program_while_learning_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that can never be learned would stay LEARNING, and all it hears in memory."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("asd_monitor.quickstart.fit", broken)
    microphone = PlayedSource()
    options = {"machines": {"pump": {"mic": "played"}}, "mqtt": None, "prometheus": None}
    settings = from_options(options | {"state_dir": str(tmp_path), "learn": {"minutes": 0.3}})
    sound = 0.1 * np.random.default_rng(0).standard_normal(20 * 16_000)
    microphone.play(sound.astype(np.float32))
    with pytest.raises(AsdMonitorError, match=r"pump: commissioning stopped: .*no memory"):
        serve(
            build_monitor(settings, sources={"pump": microphone}),
            threading.Event(),
            duration_s=20.0,
            environ={},
        )


def test_that_windows_are_no_longer_consumed_is_told_once_and_starves_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"machines": {"pump": {"mic": "played"}}, "mqtt": None, "prometheus": None}
    settings = from_options(options | {"state_dir": str(tmp_path / "state")})
    handle = build_monitor(settings, sources={"pump": PlayedSource()})
    asked: list[None] = []

    def is_alive() -> bool:
        asked.append(None)
        return False

    monkeypatch.setattr(handle.monitor, "is_alive", is_alive)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        serve(handle, threading.Event(), environ=environ, is_done=lambda: len(asked) > 2)
        heard = [manager.recv(4096)]
        while b"STOPPING=1" not in heard[-1]:
            heard.append(manager.recv(4096))
    assert sum("no longer consumed" in each.message for each in caplog.records) == 1
    assert not any(b"WATCHDOG=1" in each for each in heard)
