"""Protect the endpoint from foreign web pages and from clients that ask too often."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from asd_monitor.sinks.prometheus.http_server import Response

BURST = 20
RATE_PER_S = 10.0
"""A page is made at most this often; further requests receive the latest one again."""

MAX_FORMS = 16
"""Forms of a page that are kept; a client can invent more."""


@dataclass(slots=True)
class _Kept:
    tokens: float
    counted_at: float
    latest: Response | None = None


class RateLimit:
    """Answer with the latest response while a page is requested too often.

    Parameters
    ----------
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next one and what it holds
        self._kept: dict[Hashable, _Kept] = {}

    def respond(self, form: Hashable, make: Callable[[], Response]) -> Response:
        """Return a new response, or the latest one of this form."""
        with self._lock:
            now = self._monotonic()
            if len(self._kept) >= MAX_FORMS and form not in self._kept:
                self._kept.clear()
            kept = self._kept.setdefault(form, _Kept(BURST, now))
            kept.tokens = min(kept.tokens + RATE_PER_S * (now - kept.counted_at), BURST)
            kept.counted_at = now
            if kept.tokens < 1 and kept.latest is not None:
                return kept.latest
            kept.tokens -= 1
        response = make()
        with self._lock:
            kept.latest = response
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
