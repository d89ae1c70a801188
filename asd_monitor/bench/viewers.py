"""Viewers of the web page: clients that read its live data as browsers do."""

import socket
import threading
from types import TracebackType

from asd_monitor.errors import AsdMonitorError

TIMEOUT_S = 10.0
BLOCK_BYTES = 65536


class Viewers:
    """Read the live data of a machine with n connections while the block runs.

    Parameters
    ----------
    port
        Port of the web page on loopback.
    machine
        Id of the machine that is viewed.
    count
        Number of viewers.
    with_spectrogram
        Whether they show its spectrogram.
    """

    def __init__(self, port: int, machine: str, count: int, *, with_spectrogram: bool) -> None:
        self._port = port
        query = f"machine={machine}" + ("&spectrogram=1" if with_spectrogram else "")
        self._request = (
            f"GET /api/v1/live?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        )
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._count = count
        self.scores = [0] * count
        """Scores that each viewer has received."""

    def __enter__(self) -> "Viewers":
        for number in range(self._count):
            client = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
            self._sockets.append(client)
            client.sendall(self._request)
            thread = threading.Thread(target=self._read, args=(number, client), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for client in self._sockets:
            client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        for client in self._sockets:
            client.close()

    def check(self) -> None:
        """Raise AsdMonitorError unless every viewer receives scores."""
        if not all(self.scores):
            msg = f"a viewer of the page on port {self._port} has received no score"
            raise AsdMonitorError(msg)

    def _read(self, number: int, client: socket.socket) -> None:
        try:
            while block := client.recv(BLOCK_BYTES):
                self.scores[number] += block.count(b"event: score")
        except OSError:  # too slow, or the daemon has ended: check() reports it
            return
