"""What the edge node receives: the state of the primary host, and commands."""

import json
import logging

from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.sparkplug.payload import decode_payload

logger = logging.getLogger(__name__)

REBIRTH = "Node Control/Rebirth"
MAX_BYTES = 1024
REBIRTH_INTERVAL_S = 2.0
"""Requests for a rebirth within this time are answered together, at its end."""


class PrimaryHost:
    """Whether the primary host is online, as far as its messages say.

    Parameters
    ----------
    is_awaited
        False: there is none, so nothing is awaited.
    """

    def __init__(self, *, is_awaited: bool) -> None:
        self.is_online = not is_awaited
        self._at_ms = -1

    def receive(self, payload: bytes) -> None:
        """Process a state; older ones than before, and what is none, are ignored."""
        if len(payload) > MAX_BYTES:
            return
        try:
            members = json.loads(payload)
            online, at_ms = members["online"], members["timestamp"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if type(online) is bool and type(at_ms) is int and at_ms >= self._at_ms:
            self.is_online, self._at_ms = online, at_ms


class RebirthRequests:
    """Check commands to the edge node; the only one that is accepted asks for a rebirth.

    Retained commands are ignored: the broker would deliver them again at each login.
    """

    def __init__(self) -> None:
        self._is_requested = False
        self._born_s = float("-inf")
        self._is_logged = False

    def receive(self, message: Incoming) -> bool:
        """Process a command; return whether it asks for a rebirth."""
        problem = _find_problem(message)
        if not problem:
            self._is_requested = True
        elif not self._is_logged:
            self._is_logged = True
            logger.warning("Sparkplug: commands are ignored, first one to %s: %s",
                           message.topic, problem)  # fmt: skip
        return not problem

    def due_in_s(self, now_s: float) -> float:
        """Return the time until a requested rebirth; infinite if none is requested."""
        if not self._is_requested:
            return float("inf")
        return max(0.0, self._born_s + REBIRTH_INTERVAL_S - now_s)

    def reborn(self, now_s: float) -> None:
        """Note that the edge node has answered all requests by a birth."""
        self._is_requested, self._born_s = False, now_s


def _find_problem(message: Incoming) -> str:
    """Return why a command is ignored; empty if it asks for a rebirth."""
    if message.retained:
        return "it is retained"
    if len(message.payload) > MAX_BYTES:
        return f"expected at most {MAX_BYTES} bytes, found {len(message.payload)}"
    try:
        metrics = decode_payload(message.payload).metrics
    except ValueError as error:
        return str(error)
    if any(metric.name == REBIRTH and metric.value is True for metric in metrics):
        return ""
    return f"expected the metric {REBIRTH!r} with the value true; the monitor accepts nothing else"
