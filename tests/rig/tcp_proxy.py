"""A TCP proxy that can be interrupted, so that one client loses its broker and others do not."""

import contextlib
import socket
import threading
from typing import Self

from tests.rig.ports import free_port


class TcpProxy:
    """A proxy from a free loopback port to another port, which can be closed and reopened."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = free_port()

    def open(self) -> Self:
        """Start listening, always on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self._listener = listener
        self._start(self._accept, listener)
        return self

    def interrupt(self) -> None:
        """Break every connection, and refuse new ones until it is opened again."""
        with self._lock:
            ends, self._ends = self._ends, []
            if self._listener is not None:
                ends.append(self._listener)
                self._listener = None
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for end in ends:
            end.close()
        self._threads.clear()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.interrupt()

    def _start(self, target: object, *sockets: socket.socket) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                if self._listener is None:
                    near.close()
                    far.close()
                    return
                self._ends += [near, far]
            self._start(_copy, near, far)
            self._start(_copy, far, near)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
