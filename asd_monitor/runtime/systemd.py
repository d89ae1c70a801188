"""Tell systemd how the service is doing (sd_notify), over a plain datagram socket.

The protocol is that of ``sd_notify(3)``: ``NAME=value`` lines to the socket that
``$NOTIFY_SOCKET`` names. Outside of systemd nothing is sent and every call is harmless.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Self

log = logging.getLogger(__name__)

SEND_LIMIT_S = 1.0


class Notifier:
    """The service's line to its manager.

    Parameters
    ----------
    address
        The socket's path, or ``@name`` for an abstract one; empty where there is none.
    watchdog_timeout_s
        The manager restarts the service when it hears nothing for so long; None if it
        does not watch.
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
            The process's own id by default: a watchdog meant for another is not ours.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET=%s: expected a path or @name; systemd is not told", address)
            address = ""
        own_pid = os.getpid() if pid is None else pid
        return cls(address, _watchdog_timeout_s(environ, own_pid) if address else None)

    @property
    def watchdog_interval_s(self) -> float | None:
        """How often to call :meth:`watchdog`: half of the timeout; None if nobody watches."""
        return None if self.watchdog_timeout_s is None else self.watchdog_timeout_s / 2

    def ready(self, status: str) -> None:
        """Say that the service is up: the pipelines run, in whatever state."""
        self._last_status = status
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows; sent only when it changes."""
        if text != self._last_status:
            self._last_status = text
            self._send(f"STATUS={_one_line(text)}")

    def watchdog(self) -> None:
        """Say that all is well; to be called only while audio is being consumed."""
        if self.watchdog_timeout_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self, status: str = "stopping") -> None:
        """Say that the service is on its way down."""
        self._last_status = status
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(SEND_LIMIT_S)
                line.sendto(message.encode(), address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told (%s: %s)", self._address, error)
            self._failed = True
        else:
            self._failed = False


def _watchdog_timeout_s(environ: Mapping[str, str], pid: int) -> float | None:
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        if microseconds:
            log.warning("WATCHDOG_USEC=%s: expected microseconds; no watchdog", microseconds)
        return None
    return int(microseconds) / 1e6


def _one_line(text: str) -> str:
    return " ".join(text.split())
