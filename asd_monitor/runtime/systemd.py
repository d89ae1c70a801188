"""sd_notify client: report readiness, status and liveness to systemd.

The protocol of ``sd_notify(3)`` is ``NAME=value`` lines in a datagram to the socket that
``$NOTIFY_SOCKET`` names. Outside of systemd nothing is sent.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 1.0


class Notifier:
    """Client for the notification socket of systemd.

    Parameters
    ----------
    address
        Path of the socket, or ``@name`` for an abstract one; empty to send nothing.
    watchdog_timeout_s
        systemd restarts the service when it receives no watchdog message for this long; None if
        the watchdog is disabled.
    """

    def __init__(self, address: str, watchdog_timeout_s: float | None = None) -> None:
        self._address = address
        self.watchdog_timeout_s = watchdog_timeout_s
        self._last_status = ""
        self._failed = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int | None = None) -> Self:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

        Parameters
        ----------
        environ
            The process's environment.
        pid
            Process id; the watchdog is ignored if it is for another process. By default that of
            this process.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if address and address[0] not in "/@":
            logger.warning(
                "NOTIFY_SOCKET=%s: expected a path or @name; systemd is not notified", address
            )
            address = ""
        pid = os.getpid() if pid is None else pid
        return cls(address, _watchdog_timeout_s(environ, pid) if address else None)

    @property
    def watchdog_interval_s(self) -> float | None:
        """Interval at which to call :meth:`watchdog`: half of the timeout; None if disabled."""
        return None if self.watchdog_timeout_s is None else self.watchdog_timeout_s / 2

    def ready(self, status: str) -> None:
        """Report that the service has started: the pipelines run, in whatever state."""
        self._last_status = status
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded; :meth:`ready` reports the end."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading the configuration")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` displays; sent only when it changes."""
        if text != self._last_status:
            self._last_status = text
            self._send(f"STATUS={_one_line(text)}")

    def extend_start(self, by_s: float, status: str) -> None:
        """Report that the start takes longer, why, and that a message follows within ``by_s``."""
        self._last_status = status
        self._send(f"EXTEND_TIMEOUT_USEC={by_s * 1e6:.0f}\nSTATUS={_one_line(status)}")

    def watchdog(self) -> None:
        """Report that the service is alive; to be called only while audio is consumed."""
        if self.watchdog_timeout_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self, status: str = "stopping") -> None:
        """Report that the service is stopping."""
        self._last_status = status
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto(message.encode(), address)
        except OSError as error:
            if not self._failed:
                logger.warning("cannot notify systemd (%s: %s)", self._address, error)
            self._failed = True
        else:
            self._failed = False


AFTER_TRIAL_S = 120.0
"""Time for the rest of the start after a model file was tried."""


def announce_trial(notifier: Notifier, path: Path, allowed_s: float) -> None:
    """Extend the start by the time that a trial of a model file may take."""
    notifier.extend_start(allowed_s + AFTER_TRIAL_S, f"trying the model file {path.name}")


def _watchdog_timeout_s(environ: Mapping[str, str], pid: int) -> float | None:
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        if microseconds:
            logger.warning("WATCHDOG_USEC=%s: expected microseconds; no watchdog", microseconds)
        return None
    return int(microseconds) / 1e6


def _one_line(text: str) -> str:
    return " ".join(text.split())
