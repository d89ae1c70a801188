"""A real MQTT client that records when each score arrives."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from asd_monitor.errors import SinkError

if TYPE_CHECKING:
    from paho.mqtt import client as paho

SUBSCRIBE_TIMEOUT_S = 20.0
CLEAR_TIMEOUT_S = 1.0
SCORE_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Arrival:
    """A score at the subscriber."""

    machine: str
    seq: int
    at: float
    """Arrival of the message, in seconds since the epoch."""
    latency_s: float
    """From the capture of the window's last sample to the message."""
    inference_s: float
    """The model's part of the latency."""


class Subscriber:
    """Subscribe to everything below a base topic while the block runs."""

    def __init__(self, host: str, port: int, base_topic: str) -> None:
        self._host, self._port, self._base_topic = host, port, base_topic
        self._messages: list[tuple[float, str, bytes]] = []
        self._retained_topics: set[str] = set()
        self._subscribed = threading.Event()
        self._client: paho.Client | None = None

    def __enter__(self) -> "Subscriber":
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        client = self._client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = lambda client, *_: client.subscribe(f"{self._base_topic}/#", qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        try:
            client.connect(self._host, self._port)
        except OSError as error:
            msg = f"cannot connect to the broker {self._host}:{self._port}: {error}"
            raise SinkError(msg) from error
        client.loop_start()
        if not self._subscribed.wait(SUBSCRIBE_TIMEOUT_S):
            client.loop_stop()
            msg = f"the broker {self._host}:{self._port} does not accept a subscription"
            raise SinkError(msg)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._client is None:
            return
        for topic in self._retained_topics:  # leave no message of the benchmark at the broker
            with contextlib.suppress(ValueError):
                message = self._client.publish(topic, b"", qos=1, retain=True)
                message.wait_for_publish(CLEAR_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: "paho.MQTTMessage") -> None:
        self._messages.append((time.time(), message.topic, bytes(message.payload)))
        if not message.topic.endswith(("/score", "/event")):
            self._retained_topics.add(message.topic)

    def clear(self) -> None:
        """Discard all messages that have arrived."""
        self._messages.clear()

    def await_score(self) -> None:
        """Return once a score has arrived since the last :meth:`clear`.

        Raises
        ------
        SinkError
            If none arrives within a minute.
        """
        end_s = time.monotonic() + SCORE_TIMEOUT_S
        while not any(topic.endswith("/score") for _, topic, _ in list(self._messages)):
            if time.monotonic() > end_s:
                msg = f"no score arrived at the subscriber in {SCORE_TIMEOUT_S:g} s"
                raise SinkError(f"{msg}; see the broker's log")
            time.sleep(POLL_INTERVAL_S)

    def arrivals(self) -> list[Arrival]:
        """Return the scores since the last :meth:`clear`, in their order."""
        arrivals = []
        for at, topic, payload in list(self._messages):
            if topic.endswith("/score"):
                score = json.loads(payload)
                latency_s = at - score["ts_ns"] / 1e9
                inference_s = (score["inference_ms"] or 0.0) / 1e3
                seq, machine = score["window"], score["machine"]
                arrivals.append(Arrival(machine, seq, at, latency_s, inference_s))
        return arrivals
