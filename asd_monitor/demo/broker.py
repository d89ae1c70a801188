"""An MQTT broker inside the process, so that the demo needs no installation or configuration."""

import asyncio
import logging
import socket
import threading
from types import TracebackType

from asd_monitor.errors import ConfigError, SinkError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


class EmbeddedBroker:
    """amqtt on a free port of the loopback interface, in its own thread and event loop.

    Every program on this computer can connect while it runs, so it is for demonstrations only.
    It is a context manager; ``host`` and ``port`` are valid once it is entered.

    Raises
    ------
    ConfigError
        If amqtt is not installed.
    SinkError
        If the broker does not start.
    """

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.port = 0
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "EmbeddedBroker":
        try:
            import amqtt.broker  # noqa: F401
        except ImportError as error:
            msg = (
                "the embedded MQTT broker needs the package amqtt, which is not installed; "
                "install it with: pip install 'asd-monitor[demo]'"
            )
            raise ConfigError(msg) from error
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise SinkError(f"the embedded MQTT broker did not start within {START_TIMEOUT_S:g} s")
        if self._error is not None:
            msg = f"the embedded MQTT broker did not start: {self._error}"
            raise SinkError(msg) from self._error
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # top of the thread: raised by __enter__
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from amqtt.contexts import BrokerConfig, ListenerConfig

        from asd_monitor.demo.closing_broker import ClosingBroker

        for name in ("amqtt", "transitions"):  # they log every connection at INFO
            logging.getLogger(name).setLevel(logging.ERROR)
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        config = BrokerConfig(
            listeners={"default": ListenerConfig(bind=f"{self.host}:{self.port}")},
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        broker = ClosingBroker(config)
        await broker.start()
        self._started.set()
        await self._stop.wait()
        await broker.shutdown()
