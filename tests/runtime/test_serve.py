"""Signals, the end of a run, and the watchdog."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_monitor.config import from_options
from asd_monitor.errors import AsdMonitorError, ConfigError, SourceError
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.runs import run_monitor
from asd_monitor.runtime.serve import serve
from tests.rig.played_source import PlayedSource

SIGNALS = """
import os, time
from asd_monitor.runtime.signals import stop_signals

with stop_signals() as stop:
    os.kill(os.getpid(), {number})
    print(stop.wait(400), flush=True)
    if {times} == 2:
        os.kill(os.getpid(), {number})
        time.sleep(60)
print("cleaned up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_cleanly_and_the_second_immediately(number: signal.Signals) -> None:
    def run(times: int) -> "subprocess.CompletedProcess[str]":
        code = SIGNALS.format(number=int(number), times=times)
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=400, check=False
        )

    once, twice = run(1), run(2)
    assert (once.returncode, once.stdout) == (0, "True\ncleaned up\n")
    assert (twice.returncode, twice.stdout, twice.stderr) == (-number, "True\n", "")


@pytest.mark.parametrize("times", [1, 2])
def test_a_closed_terminal_stops_cleanly(times: int) -> None:
    code = SIGNALS.format(number=int(signal.SIGHUP), times=times).replace("sleep(60)", "sleep(0.5)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout) == (0, "True\ncleaned up\n")


@pytest.mark.parametrize("terminal", [False, True], ids=["service", "terminal"])
def test_a_hangup_reloads_what_has_no_terminal_and_stops_what_has_one(terminal: bool) -> None:
    code = (
        "import os, pty, signal, sys, threading\n"
        "from asd_monitor.runtime.signals import stop_signals\n"
        "reload = threading.Event()\n"
        "with stop_signals(reload=reload) as stop:\n"
        "    for _ in range(2):\n        os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print((stop if len(sys.argv) > 1 else reload).wait(400), stop.is_set())\n"
    )
    command = [sys.executable, "-c", code]
    if terminal:  # script(1) gives its child a controlling terminal
        command = ["script", "--quiet", "--command", shlex.join([*command, "stop"]), "/dev/null"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, start_new_session=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"True {terminal}")


def test_nohup_keeps_its_meaning() -> None:
    code = (
        "import os, signal\nfrom asd_monitor.runtime.signals import stop_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stop_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n    print(stop.wait(0.5))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout) == (0, "False\n")


def test_a_signal_is_handled_while_the_main_thread_holds_the_lock_of_the_event() -> None:
    """A handler runs between any two steps of the thread that it interrupts."""
    code = (
        "import os\nfrom asd_monitor.runtime.signals import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    with stop._cond:\n        os.kill(os.getpid(), 15)\n"
        "    print(stop.wait(400))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_stop_before_the_start_starts_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    options = {"machines": {"pump": {"wav": str(tmp_path / "a.wav")}}, "mqtt": None}
    settings = from_options(
        options | {"prometheus": None, "web": None, "state_dir": str(tmp_path / "state")}
    )
    stop = threading.Event()
    stop.set()
    handle = build_monitor(settings)
    serve(handle, stop, environ={})
    assert handle.status().machines["pump"].health is None


def test_a_first_signal_after_the_end_of_the_run_still_stops_cleanly() -> None:
    code = (
        "import os\nfrom asd_monitor.runtime.signals import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    stop.set()\n    os.kill(os.getpid(), 2)\n"
        "print('cleaned up')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout) == (0, "cleaned up\n")


def test_an_end_by_itself_sets_the_stop_event_and_raises_the_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    wav = {"paths": [str(tmp_path / "a.wav")], "paced": False}
    options = {"machines": {"pump": {"wav": wav}}, "mqtt": None, "prometheus": None, "web": None}
    settings = from_options(options | {"state_dir": str(tmp_path / "state")})
    stop = threading.Event()
    with pytest.raises(ConfigError, match="at least 20 s of normal sound"):
        serve(build_monitor(settings), stop, environ={})
    assert stop.is_set()


def test_an_internal_error_while_learning_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the machine would stay LEARNING, and all its sound in memory."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("asd_monitor.quickstart.fit", broken)
    microphone = PlayedSource()
    options = {
        "machines": {"pump": {"mic": "played"}},
        "mqtt": None,
        "prometheus": None,
        "web": None,
    }
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


def test_a_stalled_monitor_is_logged_once_and_the_watchdog_is_not_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {
        "machines": {"pump": {"mic": "played"}},
        "mqtt": None,
        "prometheus": None,
        "web": None,
    }
    settings = from_options(options | {"state_dir": str(tmp_path / "state")})
    handle = build_monitor(settings, sources={"pump": PlayedSource()})
    calls: list[None] = []

    def is_alive() -> bool:
        calls.append(None)
        return False

    monkeypatch.setattr(handle.monitor, "is_alive", is_alive)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(240)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        serve(handle, threading.Event(), environ=environ, is_done=lambda: len(calls) > 2)
        messages = [manager.recv(4096)]
        while b"STOPPING=1" not in messages[-1]:
            messages.append(manager.recv(4096))
    assert sum("no longer consumed" in record.message for record in caplog.records) == 1
    assert not any(b"WATCHDOG=1" in message for message in messages)


def test_a_run_that_never_had_sound_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "machines": {"pump": {"mic": "absent"}},
        "state_dir": str(tmp_path / "state"),
    }
    options |= dict.fromkeys(("mqtt", "prometheus", "web", "history"))
    settings = from_options(options)
    with pytest.raises(SourceError, match=r"pump: no audio was received in 0\.5 s"):
        run_monitor(settings, threading.Event(), duration_s=0.5, live_view=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["mqtt_messages"] is None
