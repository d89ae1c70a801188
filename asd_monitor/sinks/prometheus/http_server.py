"""The HTTP endpoint that Prometheus scrapes: ``/metrics``, ``/healthz``, and a page at ``/``.

It may never disturb the monitor, however its clients behave: connections are few and short.
A client that has not finished its request gives way to a newer one, and every connection
ends when its time is up, whatever it is doing.
"""

import html
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer
from typing import Any

from asd_monitor import __version__

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
CONNECTION_LIMIT_S = 10.0
POLL_S = 0.5
"""How often the time of the connections is looked at, while there are any."""

Render = Callable[[str, str], tuple[dict[str, str], bytes]]
"""(Accept, Accept-Encoding) -> (headers, body)."""


@dataclass(eq=False, slots=True)
class _Connection:
    socket: socket.socket
    since: float = field(default_factory=time.monotonic)
    answering: bool = False

    def cut(self) -> None:
        """End it from another thread: what it waits for returns at once."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("a connection had ended by itself")


class MetricsServer(HTTPServer):
    """Serve the metrics in a thread of its own, from creation to :meth:`close`.

    Parameters
    ----------
    family, address
        Where to listen, as :func:`socket.getaddrinfo` gives it; port 0 means any free one.
    render
        Makes the body of ``/metrics``.
    alive
        ``/healthz`` answers 200 while it returns True, else 503.
    tls
        Context of a TLS server, or None for plain HTTP.

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """

    request_queue_size = 128
    timeout = 0  # handle_request is called when there is one

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        render: Render,
        alive: Callable[[], bool],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address_family = family
        self.render = render
        self.alive = alive
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        super().__init__(address, _Page)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._listen, name="metrics-http", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[0:2]

    def close(self) -> None:
        """Stop listening and end every connection."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self.server_close()
        with self._lock:
            for connection in self._connections:
                connection.cut()

    def _listen(self) -> None:
        """Take connections; unlike ``serve_forever``, without waking up while there are none."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = [file for file, _ in poll.poll(1e3 * POLL_S if self._connections else None)]
            if self._stop in ready:
                return
            if ready:
                self.handle_request()
            self._cut_overdue()

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401
        """Give a new connection a thread, or its place to nobody when all are busy."""
        connection = _Connection(request)
        if self._admit(connection):
            threading.Thread(
                target=self._serve,
                args=(connection, client_address),
                name="metrics-client",
                daemon=True,
            ).start()
        else:
            self.shutdown_request(request)

    def _admit(self, connection: _Connection) -> bool:
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                waiting = next((each for each in self._connections if not each.answering), None)
                if waiting is None:
                    return False
                waiting.cut()
                self._connections.remove(waiting)
            self._connections.append(connection)
            return True

    def _cut_overdue(self) -> None:
        oldest = time.monotonic() - CONNECTION_LIMIT_S
        with self._lock:
            for connection in self._connections:
                if connection.since < oldest:
                    connection.cut()

    def answering(self, client: socket.socket) -> None:
        """Note that this client has finished its request, and is no longer in the way."""
        with self._lock:
            for connection in self._connections:
                if connection.socket is client:
                    connection.answering = True

    def _serve(self, connection: _Connection, client_address: object) -> None:
        try:
            connection.socket.settimeout(CONNECTION_LIMIT_S)
            if self._tls is not None:
                # The handshake belongs here: in accept(), one slow client would stop them all.
                connection.socket = self._tls.wrap_socket(
                    connection.socket, server_side=True, do_handshake_on_connect=False
                )
                connection.socket.do_handshake()
            _Page(connection.socket, client_address, self)
        except OSError as error:  # gone, cut, or no TLS
            log.debug("metrics client %s: %s", client_address, error)
        except Exception:
            log.exception("answering metrics client %s failed", client_address)
        finally:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)
            self.shutdown_request(connection.socket)


class _Page(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "asd-monitor"
    sys_version = ""

    def do_GET(self) -> None:
        self.server.answering(self.connection)
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/healthz":
            self._health()
        elif path == "/":
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, _landing_page())
        else:
            self._say(404, f"{path}: not here; there are /metrics and /healthz")

    do_HEAD = do_GET  # noqa: N815

    def _metrics(self) -> None:
        headers, body = self.server.render(
            self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", "")
        )
        self._send(200, headers, body)

    def _health(self) -> None:
        if self.server.alive():
            self._say(200, "ok")
        else:
            self._say(503, "the monitor does not consume audio")

    def _say(self, status: int, text: str) -> None:
        self._send(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{text}\n".encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep scrapes out of the log, but for debugging."""
        log.debug("%s %s", self.client_address, format % args)


def _landing_page() -> bytes:
    version = html.escape(__version__)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>asd-monitor</title></head>
<body>
<h1>asd-monitor {version}</h1>
<p>Acoustic condition monitoring.</p>
<ul>
<li><a href="metrics">/metrics</a>: what Prometheus scrapes</li>
<li><a href="healthz">/healthz</a>: 200 while the monitor consumes audio, else 503</li>
</ul>
</body>
</html>
""".encode()
