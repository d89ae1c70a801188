"""An HTTP server in a thread of its own."""

import asyncio
import errno
import logging
import socket
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import anyio.to_thread

from asd_monitor.errors import SinkError
from asd_monitor.web.connections import Acceptor, ConnectionFactory
from asd_monitor.web.settings import WebSettings

logger = logging.getLogger(__name__)

WORKER_THREADS = 4
"""Requests that read the disk at the same time; the others wait."""
STOP_TIMEOUT_S = 3.0
BACKLOG = 128


class WebServer:
    """Serve an ASGI application from :meth:`start` to :meth:`close`.

    Parameters
    ----------
    settings
        Where to listen, and with which certificate.
    application
        Answers the requests, in the server's event loop.
    """

    def __init__(self, settings: WebSettings, application: Any) -> None:  # noqa: ANN401
        self._settings = settings
        self._application = application
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.port = settings.port
        """The port listened on, once the server has started."""

    @property
    def url(self) -> str:
        """URL of the page on this computer, or at its address."""
        address = self._settings.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"{self._settings.scheme}://{host}:{self.port}/"

    @property
    def is_running(self) -> bool:
        """Whether the server has started and not been closed."""
        return self._thread is not None

    def start(self) -> None:
        """Listen and start the thread.

        Raises
        ------
        SinkError
            If the address cannot be listened on or the certificate cannot be used.
        """
        tls = _make_tls_context(self._settings)
        listener = _listen(self._settings)
        self.port = listener.getsockname()[1]
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener, tls, started), name="web", daemon=True
        )
        self._thread.start()
        started.result()

    def call(self, callback: Any, *arguments: object) -> None:  # noqa: ANN401
        """Call a function in the server's event loop, from any thread; ignored once it stops."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(callback, *arguments)

    def close(self) -> None:
        """Stop listening and end all connections; may be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None and self._stop is not None:
            self.call(self._stop.set)
            thread.join(STOP_TIMEOUT_S)

    def _run(self, listener: socket.socket, tls: ssl.SSLContext | None, started: Any) -> None:  # noqa: ANN401
        with listener:
            try:
                asyncio.run(self._serve(listener, tls, started))
            except Exception as error:
                logger.exception("the web server has failed")
                if not started.done():
                    started.set_exception(error)

    async def _serve(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        started: Any,  # noqa: ANN401
    ) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKER_THREADS
        listener.setblocking(False)
        factory = ConnectionFactory(self._application)
        accepting = self._loop.create_task(Acceptor(listener, factory, tls).run())
        started.set_result(None)
        await self._stop.wait()
        accepting.cancel()
        await factory.close()


def _listen(settings: WebSettings) -> socket.socket:
    """Return a listening socket; raise SinkError if the address cannot be used."""
    address, port = settings.address, settings.port
    prefix = f"web: cannot listen on {address} port {port}"
    try:
        family, _, _, _, resolved = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        msg = (
            f"web.address: expected an address or name of this computer, found {address!r}, which "
            f"cannot be looked up ({error}); use 127.0.0.1 to serve only this computer"
        )
        raise SinkError(msg) from error
    try:
        return socket.create_server(resolved[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                advice = (
                    f"another program uses the port (`ss -ltnp 'sport = :{port}'` shows which); "
                    "stop it, set web.port to another one, or web: off"
                )
            case errno.EACCES:
                advice = "not permitted; set web.port to 1024 or more"
            case errno.EADDRNOTAVAIL:
                advice = (
                    "no network interface of this computer has that address; set web.address to "
                    "127.0.0.1 or to one that `ip address` lists"
                )
            case _:
                advice = str(error)
        raise SinkError(f"{prefix}: {advice}") from error


def _make_tls_context(settings: WebSettings) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:  # includes ssl.SSLError
        msg = (
            f"web: expected a PEM certificate with its key, but {settings.certificate_file}, "
            f"{settings.key_file} cannot be used ({error}); check that the files exist, can be "
            "read by this user, and belong together"
        )
        raise SinkError(msg) from error
    return context
