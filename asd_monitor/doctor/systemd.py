"""Check how systemd has set up this process."""

import socket
from collections.abc import Mapping
from pathlib import Path

from asd_monitor.doctor.finding import Finding, ok, warning
from asd_monitor.runtime.systemd import Notifier


def check_systemd(environ: Mapping[str, str]) -> list[Finding]:
    """Check the environment of a service: notification socket, watchdog, state folder."""
    if not any(name in environ for name in ("NOTIFY_SOCKET", "INVOCATION_ID", "STATE_DIRECTORY")):
        return [ok("systemd", "not started by systemd")]
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        hint = "set Type=notify in the unit, or use systemd/asd-monitor@.service"
        return [warning("systemd", "the service is not of Type=notify", hint)]
    if not _can_connect(address):
        hint = "check that the service's sandbox or container can reach the socket"
        return [warning("systemd", f"cannot notify systemd at {address}", hint)]
    watchdog_s = Notifier.from_environment(environ).watchdog_timeout_s
    if watchdog_s is None:
        hint = "set WatchdogSec=30 in the unit, so that a hung monitor is restarted"
        return [warning("systemd", "the watchdog is not set", hint)]
    folder = environ.get("STATE_DIRECTORY", "")
    state = f"; state in {Path(folder.split(':')[0])}" if folder else ""
    message = f"systemd receives readiness and the watchdog's signal ({watchdog_s:g} s){state}"
    return [ok("systemd", message, watchdog_s=watchdog_s)]


def _can_connect(address: str) -> bool:
    path = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True
