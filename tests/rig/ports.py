"""Loopback ports for the servers of tests."""

import os
import socket
from collections.abc import Iterator
from itertools import chain, cycle

PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to connections: one of these could otherwise have the port
while a server starts, or starts again."""
MAX_WORKERS = 16


def _own_ports() -> Iterator[int]:
    """Yield the ports of this worker of pytest-xdist, from one that depends on the process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MAX_WORKERS
    ports = PORTS[worker::MAX_WORKERS]
    first = os.getpid() * 37 % len(ports)
    return cycle(chain(ports[first:], ports[:first]))


_PORTS = _own_ports()


def free_port() -> int:
    """Return a port that nothing listens on; the same one again only after all others."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
