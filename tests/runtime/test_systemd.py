"""What systemd is told, over a real datagram socket."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_monitor.runtime.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end of the line; its name is what NOTIFY_SOCKET says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        abstract = f"\0asd-monitor-test-{os.getpid()}"
        listening.bind(str(tmp_path / "notify") if request.param == "path" else abstract)
        listening.settimeout(20)
        yield listening


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    name = manager.getsockname()
    address = name if isinstance(name, str) else "@" + name[1:].decode()
    return {"NOTIFY_SOCKET": address, **more}


def heard(manager: socket.socket) -> dict[str, str]:
    lines = manager.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_life_of_a_service_is_told(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="30000000"))
    notifier.ready("pump LEARNING")
    assert heard(manager) == {"READY": "1", "STATUS": "pump LEARNING"}
    notifier.status("pump NORMAL")
    assert heard(manager) == {"STATUS": "pump NORMAL"}
    notifier.watchdog()
    assert heard(manager) == {"WATCHDOG": "1"}
    notifier.stopping()
    assert heard(manager) == {"STOPPING": "1", "STATUS": "stopping"}


def test_a_status_is_sent_when_it_changes_and_on_one_line(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager))
    notifier.status("pump NORMAL\nREADY=1")
    notifier.status("pump NORMAL\nREADY=1")
    notifier.status("ümlaut")
    assert heard(manager) == {"STATUS": "pump NORMAL READY=1"}
    assert heard(manager) == {"STATUS": "ümlaut"}


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval_is_half_of_the_timeout_if_it_is_ours(
    environ: dict[str, str], interval_s: float | None
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", **environ}, pid=42)
    assert notifier.watchdog_interval_s == interval_s


def test_the_watchdog_is_silent_where_nobody_watches(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager))
    notifier.watchdog()
    notifier.ready("up")
    assert heard(manager) == {"READY": "1", "STATUS": "up"}


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_every_call_is_harmless(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "30000000", **environ})
    assert notifier.watchdog_interval_s is None
    notifier.ready("up")
    notifier.watchdog()
    notifier.stopping()


def test_a_manager_that_is_gone_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.ready("up")
        notifier.status("still up")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gone" in caplog.text


def test_a_manager_that_does_not_read_does_not_hold_us_up(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.systemd.SEND_LIMIT_S", 0.05)
    notifier = Notifier.from_environment(environment(manager))
    queue_length = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for number in range(queue_length + 3):
        notifier.status(f"status {number}")
    assert heard(manager) == {"STATUS": "status 0"}
