"""An HTTP server for a few short GET requests that cannot disturb the monitor.

The threat is a client on the network that opens many connections and does not finish a request or
a TLS handshake, to exhaust threads and file descriptors or to keep Prometheus from its metrics.
So connections are few, an unfinished one gives way to a newer one, and each ends after 10 s.
"""

import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer
from typing import Any

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
CONNECTION_TIMEOUT_S = 10.0
CHECK_INTERVAL_S = 0.5
"""How often connections are checked for their timeout while there are any."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[str, Message], Response]
"""Answer a GET request for a path with these headers; called from the connection's thread."""


@dataclass(eq=False, slots=True)
class _Connection:
    socket: socket.socket
    opened_s: float = field(default_factory=time.monotonic)
    is_request_read: bool = False

    def shut_down(self) -> None:
        """End the connection from another thread: its pending reads and writes return at once."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("a connection had already ended")


class StatusServer(HTTPServer):
    """Serve pages in a thread of its own, from construction to :meth:`close`.

    Parameters
    ----------
    family, address
        Where to listen, as :func:`socket.getaddrinfo` returns it; port 0 means any free one.
    respond
        Answers requests.
    tls
        Context of a TLS server, or None for plain HTTP.

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """

    request_queue_size = 128
    timeout = 0  # handle_request is called only when a connection is waiting

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        respond: Respond,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address_family = family
        self.respond = respond
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        super().__init__(address, _RequestHandler)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._listen, name="metrics-http", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Bind without HTTPServer's lookup of the host name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[0:2]

    def close(self) -> None:
        """Stop listening and end all connections."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self.server_close()
        with self._lock:
            for connection in self._connections:
                connection.shut_down()

    def _listen(self) -> None:
        """Accept connections; unlike ``serve_forever``, do not wake up while there are none."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            timeout_ms = 1e3 * CHECK_INTERVAL_S if self._connections else None
            ready = [file for file, _ in poll.poll(timeout_ms)]
            if self._stop in ready:
                return
            if ready:
                self.handle_request()
            self._close_expired()

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401
        """Serve a new connection in its own thread, or close it if all others are busy."""
        connection = _Connection(request)
        if self._accept_or_evict(connection):
            threading.Thread(
                target=self._serve,
                args=(connection, client_address),
                name="metrics-client",
                daemon=True,
            ).start()
        else:
            self.shutdown_request(request)

    def _accept_or_evict(self, connection: _Connection) -> bool:
        """Add a connection, in exchange for the oldest unfinished one if there are too many."""
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                unfinished = [other for other in self._connections if not other.is_request_read]
                if not unfinished:
                    return False
                unfinished[0].shut_down()
                self._connections.remove(unfinished[0])
            self._connections.append(connection)
            return True

    def _close_expired(self) -> None:
        expired_s = time.monotonic() - CONNECTION_TIMEOUT_S
        with self._lock:
            for connection in self._connections:
                if connection.opened_s < expired_s:
                    connection.shut_down()

    def mark_request_read(self, client: socket.socket) -> None:
        """Protect a connection from eviction, because its request is complete."""
        with self._lock:
            for connection in self._connections:
                if connection.socket is client:
                    connection.is_request_read = True

    def _serve(self, connection: _Connection, client_address: object) -> None:
        try:
            connection.socket.settimeout(CONNECTION_TIMEOUT_S)
            if self._tls is not None:
                # In this thread: a handshake in accept() would let one slow client block all.
                connection.socket = self._tls.wrap_socket(
                    connection.socket, server_side=True, do_handshake_on_connect=False
                )
                connection.socket.do_handshake()
            _RequestHandler(connection.socket, client_address, self)
        except OSError as error:  # disconnected, evicted, expired, or not TLS
            logger.debug("HTTP client %s: %s", client_address, error)
        except Exception:
            logger.exception("a request of HTTP client %s failed", client_address)
        finally:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)
            self.shutdown_request(connection.socket)


class _RequestHandler(BaseHTTPRequestHandler):
    server: StatusServer
    server_version = "asd-monitor"
    sys_version = ""

    def do_GET(self) -> None:
        self.server.mark_request_read(self.connection)
        path = self.path.partition("?")[0]
        response = self.server.respond(path, self.headers)
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Log requests at debug level only."""
        logger.debug("%s %s", self.client_address, format % args)
