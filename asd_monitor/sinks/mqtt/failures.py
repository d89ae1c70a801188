"""Reasons why an MQTT broker cannot be used."""

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

CONNECT_TIMEOUT_S = 5.0

FailureKind = Literal[
    "settings", "dns", "unreachable", "tls", "login", "lost", "timeout", "taken_over"
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection."""

    kind: FailureKind
    reason: str
    """A sentence for the user, without secrets."""


def connect_failure(error: Exception, address: str) -> Failure:
    """Return why ``address`` (host and port) cannot be connected to."""
    match error:
        case socket.gaierror() | UnicodeError():
            return Failure("dns", f"{address}: the host name cannot be resolved: {error}")
        case ssl.SSLCertVerificationError():
            reason = f"the broker's certificate is not trusted: {error.verify_message}"
            return Failure("tls", f"{address}: {reason}")
        case ssl.SSLError():
            return Failure("tls", f"{address}: TLS failed: {error.reason or error}")
        case TimeoutError():
            return Failure("unreachable", f"{address}: no answer within {CONNECT_TIMEOUT_S:g} s")
        case ConnectionRefusedError():
            return Failure("unreachable", f"{address}: connection refused: nothing listens there")
        case _:
            return Failure("unreachable", f"{address}: {error}")
