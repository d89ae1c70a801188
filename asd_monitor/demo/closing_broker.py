"""The broker of amqtt, which closes each of its connections. Imports amqtt."""

import asyncio

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig


class ClosingBroker(Broker):  # type: ignore[misc]  # amqtt has no types
    """A broker that closes every connection that ends, and all of them before it shuts down.

    The broker of amqtt 0.12 leaves the socket open if the client has reset the connection. Its
    shutdown cancels the task that reads from a client and waits for it; the task may miss that if
    a packet arrives at the same moment, and the shutdown never ends.
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._writers: set[asyncio.StreamWriter] = set()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve a client until its connection ends."""
        self._writers.add(writer)
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def shutdown(self) -> None:
        """Close all connections and the port."""
        for writer in self._writers:
            writer.close()
        await super().shutdown()
