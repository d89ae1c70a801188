"""Why an MQTT broker cannot be used, in words."""

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

CONNECT_TIMEOUT_S = 5.0

FailureKind = Literal["settings", "dns", "unreachable", "tls", "login", "lost", "timeout"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection."""

    kind: FailureKind
    reason: str
    """For a person; holds no secret."""


def failure_of(error: Exception, where: str) -> Failure:
    """Say in words why ``where`` cannot be reached."""
    match error:
        case socket.gaierror() | UnicodeError():
            return Failure("dns", f"{where}: no address is known for this host: {error}")
        case ssl.SSLCertVerificationError():
            words = f"the broker's certificate is not trusted: {error.verify_message}"
            return Failure("tls", f"{where}: {words}")
        case ssl.SSLError():
            return Failure("tls", f"{where}: TLS failed: {error.reason or error}")
        case TimeoutError():
            return Failure("unreachable", f"{where}: no answer within {CONNECT_TIMEOUT_S:g} s")
        case ConnectionRefusedError():
            return Failure("unreachable", f"{where}: nothing listens there (connection refused)")
        case _:
            return Failure("unreachable", f"{where}: {error}")
