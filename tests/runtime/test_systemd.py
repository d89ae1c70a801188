"""Notifications to systemd, over a real datagram socket."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_monitor.runtime.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of the service manager, which NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        abstract = f"\0asd-monitor-test-{os.getpid()}"
        receiver.bind(str(tmp_path / "notify") if request.param == "path" else abstract)
        receiver.settimeout(240)
        yield receiver


def environment(manager: socket.socket, **variables: str) -> dict[str, str]:
    name = manager.getsockname()
    address = name if isinstance(name, str) else "@" + name[1:].decode()
    return {"NOTIFY_SOCKET": address, **variables}


def receive(manager: socket.socket) -> dict[str, str]:
    lines = manager.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_start_status_watchdog_and_stop_are_reported(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager, WATCHDOG_USEC="30000000"))
    notifier.ready("pump LEARNING")
    assert receive(manager) == {"READY": "1", "STATUS": "pump LEARNING"}
    notifier.status("pump NORMAL")
    assert receive(manager) == {"STATUS": "pump NORMAL"}
    notifier.watchdog()
    assert receive(manager) == {"WATCHDOG": "1"}
    notifier.stopping()
    assert receive(manager) == {"STOPPING": "1", "STATUS": "stopping"}


def test_a_status_is_sent_when_it_changes_and_on_one_line(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager))
    notifier.status("pump NORMAL\nREADY=1")
    notifier.status("pump NORMAL\nREADY=1")
    notifier.status("ümlaut")
    assert receive(manager) == {"STATUS": "pump NORMAL READY=1"}
    assert receive(manager) == {"STATUS": "ümlaut"}


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
def test_the_watchdog_interval_is_half_of_the_timeout_for_this_process(
    environ: dict[str, str], interval_s: float | None
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", **environ}, pid=42)
    assert notifier.watchdog_interval_s == interval_s


def test_no_watchdog_message_is_sent_where_the_watchdog_is_disabled(manager: socket.socket) -> None:
    notifier = Notifier.from_environment(environment(manager))
    notifier.watchdog()
    notifier.ready("up")
    assert receive(manager) == {"READY": "1", "STATUS": "up"}


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_no_call_fails(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "30000000", **environ})
    assert notifier.watchdog_interval_s is None
    notifier.ready("up")
    notifier.watchdog()
    notifier.stopping()


def test_a_missing_socket_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.ready("up")
        notifier.status("still up")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gone" in caplog.text


def test_a_manager_that_does_not_read_does_not_block_the_monitor(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.systemd.SEND_TIMEOUT_S", 0.05)
    notifier = Notifier.from_environment(environment(manager))
    queue_length = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for number in range(queue_length + 3):
        notifier.status(f"status {number}")
    assert receive(manager) == {"STATUS": "status 0"}
