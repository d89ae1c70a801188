"""What systemd has set for the process."""

import socket
from collections.abc import Mapping
from pathlib import Path

from asd_monitor.doctor.finding import Finding, ok, warning
from asd_monitor.runtime.systemd import Notifier


def check_systemd(environ: Mapping[str, str]) -> list[Finding]:
    """Tell what a service's environment says; nothing outside of a service."""
    if not any(name in environ for name in ("NOTIFY_SOCKET", "INVOCATION_ID", "STATE_DIRECTORY")):
        return [ok("systemd", "not started by systemd")]
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        advice = "set Type=notify in the unit, or take systemd/asd-monitor@.service as it is"
        return [warning("systemd", "the service manager does not wait to hear from it", advice)]
    if not _can_be_told(address):
        advice = "is the socket reachable from inside the service's sandbox or container?"
        return [warning("systemd", f"{address} cannot be told anything", advice)]
    watchdog_s = Notifier.from_environment(environ).watchdog_timeout_s
    if watchdog_s is None:
        advice = "set WatchdogSec=30 in the unit, so that a monitor that hangs is restarted"
        return [warning("systemd", "the watchdog is not set", advice)]
    folder = environ.get("STATE_DIRECTORY", "")
    kept = f"; state in {Path(folder.split(':')[0])}" if folder else ""
    told = f"ready and watchdog ({watchdog_s:g} s) are told{kept}"
    return [ok("systemd", told, watchdog_s=watchdog_s)]


def _can_be_told(address: str) -> bool:
    place = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        try:
            line.connect(place)
        except OSError:
            return False
    return True
