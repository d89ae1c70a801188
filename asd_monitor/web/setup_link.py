"""The one-time link with which the first password is set."""

import hmac
import secrets
import threading
import time
from collections.abc import Callable

VALID_S = 15 * 60.0


class SetupLink:
    """A random key that is valid once, for 15 minutes from the start of the monitor.

    Parameters
    ----------
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until_s = monotonic() + VALID_S
        self.key = secrets.token_urlsafe(24)

    def is_valid(self, key: str) -> bool:
        """Return whether a key is the one of the link, in time and not used."""
        right = hmac.compare_digest(key.encode(), self.key.encode())
        return right and self._monotonic() < self._until_s

    def use(self, key: str) -> bool:
        """Return whether a key is valid, and make it invalid."""
        with self._lock:
            if not self.is_valid(key):
                return False
            self._until_s = float("-inf")
            return True
