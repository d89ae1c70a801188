"""Limits how often passwords can be tried."""

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

TRIES = 5
TOTAL_TRIES = 60
"""Tries of all addresses together within INTERVAL_S; each costs 0.2 s of processor time."""
INTERVAL_S = 60.0
MAX_ADDRESSES = 1000


class LoginLimit:
    """Counts the tries of each address, and of all together; may be used from any thread.

    Parameters
    ----------
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=TOTAL_TRIES)

    def accept(self, address: str) -> bool:
        """Count a try and return True, or return False if there were too many."""
        network, now = _network(address), self._monotonic()
        with self._lock:
            tries = self._tries.setdefault(network, deque(maxlen=TRIES))
            self._tries.move_to_end(network)
            if _is_full(tries, now) or _is_full(self._all, now):
                return False
            tries.append(now)
            self._all.append(now)
            while len(self._tries) > MAX_ADDRESSES:
                self._tries.popitem(last=False)
            return True


def _is_full(tries: deque[float], now: float) -> bool:
    return len(tries) == tries.maxlen and now - tries[0] < INTERVAL_S


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 the first 64 bits, which one host may choose in.

    IPv4 addresses are complete.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
