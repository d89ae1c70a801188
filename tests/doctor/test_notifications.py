"""Addresses of notifications are checked, and connected to only if asked."""

import socket
from dataclasses import replace

import pytest

from asd_monitor.doctor import notifications
from asd_monitor.doctor.finding import Status
from asd_monitor.errors import SinkError
from tests.doctor.findings import make_context


@pytest.mark.parametrize(
    ("recipient", "status", "text"),
    [
        ("json://user:hunter2@127.0.0.1:1/x", Status.OK, "the address is valid"),
        ("nosuch://hunter2", Status.FAILED, "expected an address that Apprise knows"),
        ({"url_env": "NO_ADDRESS"}, Status.FAILED, "no variable NO_ADDRESS"),
        ({"url_file": "/nonexistent/hunter2.txt"}, Status.FAILED, "cannot read /nonexistent"),
    ],
)
def test_each_address_of_notifications_is_checked_without_sending(
    recipient: object, status: Status, text: str
) -> None:
    (finding,) = notifications.check_notifications(make_context(notify={"to": [recipient]}))
    assert (finding.check, finding.status) == ("notify", status)
    assert text in finding.message
    assert finding.exit_code == (SinkError.exit_code if status is Status.FAILED else 0)
    if isinstance(recipient, str):
        assert "hunter2" not in finding.message


def test_an_http_server_of_notifications_is_connected_to_only_if_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0)
        context = make_context(notify={"to": [f"json://127.0.0.1:{port}/x", "ntfy://topic"]})
        notifications.check_notifications(context)
        with pytest.raises(BlockingIOError):
            server.accept()
        reachable, other = notifications.check_notifications(
            replace(context, connects_to_notify=True)
        )
        connection, _ = server.accept()
        connection.settimeout(240)
        assert connection.recv(1) == b""  # nothing was sent
        connection.close()
    assert "can be reached" in reachable.message
    assert "the address is valid" in other.message
    gone = notifications.check_notifications(replace(context, connects_to_notify=True))[0]
    assert (gone.status, gone.exit_code) == (Status.WARNING, 0)
