"""Protect the endpoint from foreign web pages and from clients that ask too often."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from email.message import Message

from asd_monitor.sinks.prometheus.http_server import Response

BURST = 20
RATE_PER_S = 10.0
"""Pages are made at most this often; further requests receive the latest one again."""
MAX_KEPT = 16
"""Forms of pages that are kept; a client may ask for any."""


class RateLimit:
    """Answer with the latest response while pages are requested too often.

    Parameters
    ----------
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next three
        self._tokens = float(BURST)
        self._counted_at = monotonic()
        self._latest: dict[tuple[str, ...], Response] = {}

    def respond(self, path: str, headers: Message, make: Callable[[], Response]) -> Response:
        """Return a new response, or the latest one for this path and these headers."""
        key = (path, headers.get("Accept", ""), headers.get("Accept-Encoding", ""))
        with self._lock:
            now = self._monotonic()
            self._tokens += RATE_PER_S * (now - self._counted_at)
            self._tokens, self._counted_at = min(self._tokens, BURST), now
            if self._tokens < 1:
                latest = self._latest.get(key)
                return latest or Response(b"too many requests\n", status=429)
            self._tokens -= 1
        response = make()
        with self._lock:
            if len(self._latest) >= MAX_KEPT and key not in self._latest:
                self._latest.clear()
            self._latest[key] = response
        return response


def is_own_host(host: str | None, bound_to: str) -> bool:
    """Return whether a Host header names this computer.

    A foreign web page can let its own name resolve to 127.0.0.1, and would then read what a
    browser on this computer can. Only an endpoint that other computers cannot reach is protected:
    others may have any name.
    """
    if host is None or not ipaddress.ip_address(bound_to.partition("%")[0]).is_loopback:
        return True
    name = host.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return name in ("localhost", own, own.partition(".")[0]) or name.endswith(".localhost")
    return True
