"""Connections of the web server, limited in number and time.

The threat is a client on the network that opens many connections and does not finish a request or
read its response. So connections are few, an idle or unfinished one gives way to a newer one, a
request must be complete within 10 s, and a response that is not read ends after 30 s.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
CONNECTION = "connection"
"""Name under which a request's state has its connection."""
REQUEST_TIMEOUT_S = 10.0
"""Longest time from the opening of a connection to a complete request."""
KEEP_ALIVE_S = 5
"""An idle connection is closed after this time."""
WRITE_TIMEOUT_S = 30.0
"""A connection whose client reads nothing for this time is closed."""
HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
"""Longest time that responses have to end when the server stops."""
MAX_HEADER_BYTES = 16 * 1024
ACCEPT_PAUSE_S = 0.5
"""Time to the next attempt if no connection can be accepted."""


class LimitedConnection(H11Protocol):
    """One HTTP/1.1 connection, closed when it exceeds a limit.

    Its deadline runs while the server waits for a request, headers and body, or for the client to
    read.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection; if there are too many, close one that waits, or this one."""
        self._deadline: asyncio.TimerHandle | None = None
        self.app_state = {CONNECTION: self}
        others = [other for other in self.connections if isinstance(other, LimitedConnection)]
        super().connection_made(transport)
        if len(others) >= MAX_CONNECTIONS:
            waiting = [other for other in others if other.waits_for_request]
            evicted = min(waiting, key=lambda other: other.opened_s, default=self)
            evicted.abort()
        self.opened_s = self.loop.time()
        self._start_deadline(REQUEST_TIMEOUT_S)

    @property
    def waits_for_request(self) -> bool:
        """Whether no complete request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def write_chunk(self, chunk: bytes) -> bool:
        """Write a chunk of the response in progress; return False if the client is slow.

        A chunk that many clients receive is made once, and takes no way through the application.
        """
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(chunk)
        return True

    def abort(self) -> None:
        """Close the connection at once, unsent data included."""
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Process a part of a request; the deadline ends when the request is complete."""
        if self.waits_for_request and self._deadline is None:
            self._start_deadline(REQUEST_TIMEOUT_S)  # a further request of this connection
        super().data_received(data)
        if not self.waits_for_request:
            self._stop_deadline()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._stop_deadline()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client reads, but only for a limited time."""
        super().pause_writing()
        self._start_deadline(WRITE_TIMEOUT_S)

    def resume_writing(self) -> None:
        """Continue a response that the client reads again."""
        super().resume_writing()
        if not self.waits_for_request:
            self._stop_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _start_deadline(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class ConnectionFactory:
    """Make the protocol of each new connection, and know the connections that are open.

    Parameters
    ----------
    application
        The ASGI application that answers requests.
    """

    def __init__(self, application: Any) -> None:  # noqa: ANN401
        self._config = Config(
            application,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        self._config.load()
        # Not a line in the log for each bad request.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._state = ServerState()

    def __call__(self) -> LimitedConnection:
        """Return the protocol of a new connection."""
        return LimitedConnection(self._config, self._state, {})

    async def close(self) -> None:
        """End all responses and connections."""
        for connection in list(self._state.connections):
            if isinstance(connection, LimitedConnection):
                connection.abort()
        await asyncio.sleep(0)  # the transports close their sockets in the next pass
        if tasks := list(self._state.tasks):  # responses end when their connection is lost
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)


class Acceptor:
    """Accept connections on a socket, and bound the TLS handshakes that are not finished.

    Parameters
    ----------
    listener
        The listening socket, non-blocking.
    factory
        Makes the protocol of each connection.
    tls
        Context of a TLS server, or None for plain HTTP.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], LimitedConnection],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._tls = tls
        self._handshakes: dict[asyncio.Task[None], None] = {}

    async def run(self) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # too many open files, or the client has gone already
                logger.debug("a connection cannot be accepted: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            # Otherwise a body waits 40 ms until the client has acknowledged its headers.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                await loop.connect_accepted_socket(self._factory, client)
            else:
                self._start_handshake(client, self._tls)

    def _start_handshake(self, client: socket.socket, tls: ssl.SSLContext) -> None:
        """Begin a TLS handshake; if there are too many, the oldest ends."""
        if len(self._handshakes) >= MAX_CONNECTIONS:
            next(iter(self._handshakes)).cancel()

        def finish(task: asyncio.Task[None]) -> None:
            self._handshakes.pop(task, None)
            if task.cancelled() or task.exception() is not None:  # not TLS, timed out, evicted
                client.close()

        task = asyncio.get_running_loop().create_task(self._shake_hands(client, tls))
        self._handshakes[task] = None
        task.add_done_callback(finish)

    async def _shake_hands(self, client: socket.socket, tls: ssl.SSLContext) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._factory, client, ssl=tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )
