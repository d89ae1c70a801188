"""Publish results over MQTT, with every message accounted for."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from asd_monitor.records import Record
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.mqtt.counters import MqttCounts, MqttLedger
from asd_monitor.sinks.mqtt.failures import Failure
from asd_monitor.sinks.mqtt.outbox import Item, Message, Outbox, to_message
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.topics import Topics, check_name
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

FLUSH_S = 3.0
STALL_S = 2.0
"""While a message has been unacknowledged for longer, no more are sent: less is in doubt then."""
ACK_MAY_REST_S = 1.5
"""So long, or half of the time allowed, acknowledgements of a few messages are left unread: the
next score wakes the thread anyway, and an awakening a score is a third of what it costs."""
STEADY_S = 10.0
"""A connection that held for less long counts as a failed attempt: the next one waits longer."""


class MqttSink:
    """A sink with one thread, which connects, publishes, and connects again.

    A score is *published* when the broker has acknowledged it (``qos_score: 0``: when the
    system has taken it) and *dropped* when it was given up: emitted without a connection, pushed
    out of a full queue, refused, or unacknowledged at the end. After ``close`` each score is
    one or the other. What a broken connection left unacknowledged is sent again on the next one,
    so a subscriber may then see it twice, with the same ``seq`` or ``event_id``.

    Parameters
    ----------
    settings
        Where and how to publish.
    metrics
        Where connection, messages and losses are counted.
    node
        Name of this monitor in the topics.
    machines
        Names to check beforehand; each is a level of a topic.
    clock
        Seconds since the epoch.

    Raises
    ------
    ConfigError
        If the base topic, the node or a machine has a name that no topic can hold.
    """

    def __init__(
        self,
        settings: MqttSettings,
        metrics: Metrics,
        *,
        node: str,
        machines: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.base_topic, node)
        for machine in machines:
            check_name("machine", machine)
        self._client_id = settings.client_id or f"asd-monitor-{uuid.uuid4().hex[:12]}"
        self._metrics = metrics
        self._clock = clock
        self._outbox = Outbox(
            settings.score_queue, settings.event_queue, settings.health_interval_s
        )
        self._news = threading.Condition()
        self._ledger = MqttLedger(metrics)
        self._connection: Connection | None = None
        self._in_flight: dict[int, tuple[Message, float]] = {}
        self._failure: Failure | None = None
        self._refusals: set[str] = set()
        self._last_topic = ""
        self._connected_at = 0.0
        self._connections = 0
        self._flush_until: float | None = None
        self._thread: threading.Thread | None = None
        outbox = self._outbox
        metrics.sink_errors.labels("mqtt")
        metrics.queue_depth.labels("mqtt_scores").set_function(lambda: len(outbox.scores))
        metrics.queue_depth.labels("mqtt_events").set_function(lambda: len(outbox.events))

    @classmethod
    def build(cls, settings: MqttSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(settings, context.metrics, node=context.node, machines=context.machines)

    def open(self) -> None:
        """Start the thread; whether a broker is there does not matter.

        Raises
        ------
        SinkError
            If a password or certificate that the settings name cannot be read.
        """
        from asd_monitor.sinks.mqtt.connection import tls_context

        self._settings.read_password()
        if self._settings.tls is not None:
            tls_context(self._settings.tls)
        self._metrics.mqtt_connected.set(0)
        self._thread = threading.Thread(target=self._run, name="mqtt-sink", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Take a record; returns at once."""
        with self._news:
            if self._flush_until is None:
                scores, events = self._outbox.take(record, self._clock())
            else:
                scores, events = Outbox.lost(record)
            connection = self._connection
        if connection is not None:
            connection.wake()
        if scores or events:
            self._ledger.drop(scores, events)

    def close(self) -> None:
        """Publish what waits, within three seconds, then ``offline``, then disconnect."""
        with self._news:
            if self._flush_until is None:
                self._flush_until = time.monotonic() + FLUSH_S
            connection = self._connection
            if connection is not None and self._outbox.connected:
                connection.wake()
            elif connection is not None:
                connection.abort()
            self._news.notify_all()
        if self._thread is not None:
            # a resolver that hangs is left behind: the thread is a daemon
            self._thread.join(FLUSH_S + 2.0)
        with self._news:
            self._ledger.drop(*self._outbox.abandon())

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the login and the connection stands."""
        return self._outbox.connected

    @property
    def failure(self) -> str:
        """Why there is no connection, for a person; empty while there is one."""
        failure = self._failure
        return failure.reason if failure is not None else ""

    def counts(self) -> MqttCounts:
        """Return what became of messages so far."""
        return self._ledger.counts()

    def _run(self) -> None:
        attempts = 0
        while self._flush_until is None:
            try:
                served = self._connect_and_serve()
            except Exception:
                logger.exception("MQTT: unexpected error; connecting anew")
                self._metrics.sink_errors.labels("mqtt").inc()
                served = False
            steady = served and time.monotonic() - self._connected_at > STEADY_S
            attempts = 0 if steady else attempts + 1
            with self._news:
                pause_s = self._pause_s(attempts)
                self._news.wait_for(lambda: self._flush_until is not None, pause_s)

    def _pause_s(self, attempts: int) -> float:
        """Delay before the next attempt: doubling, with jitter so that many do not come at once."""
        settings = self._settings
        delay_s = min(settings.reconnect_min_s * 2.0 ** min(attempts, 20), settings.reconnect_max_s)
        jitter = 0.75 + 0.25 * (uuid.uuid4().int % 1000) / 1000
        return max(delay_s * jitter, settings.reconnect_min_s)

    def _connect_and_serve(self) -> bool:
        """Connect once and publish until the connection ends; False where there was none."""
        from asd_monitor.sinks.mqtt.connection import Connection

        with self._news:
            if self._flush_until is not None:
                return False
            connection = Connection(self._settings, self._client_id, self._topics.status)
            self._connection = connection
        connected = False
        try:
            connected = connection.start()
            if connected:
                self._begin()
                self._serve(connection)
        finally:
            self._end(connection)
        return connected

    def _begin(self) -> None:
        self._last_topic, self._connected_at = "", time.monotonic()
        with self._news:
            self._outbox.connect()
        self._metrics.mqtt_connected.set(1)
        self._connections += 1
        if self._connections > 1:
            self._metrics.mqtt_reconnects.inc()
        self._failure = None
        where = f"{self._settings.host}:{self._settings.port}"
        dropped = self._ledger.counts().scores_dropped
        logger.info("MQTT: connected to %s; %d scores dropped since the start", where, dropped)

    def _end(self, connection: "Connection") -> None:
        self._metrics.mqtt_connected.set(0)
        self._settle(connection)
        with self._news:
            self._connection = None
            messages = [message for message, _ in self._in_flight.values()]
            self._in_flight.clear()
            dropped = self._outbox.disconnect(messages)
        self._ledger.drop(dropped, 0)
        connection.stop()
        if connection.failure is not None and self._flush_until is None:
            self._tell(connection.failure)

    def _tell(self, failure: Failure) -> None:
        """Count a failure, and log it where it is not the one before."""
        self._metrics.mqtt_failures.labels(failure.kind).inc()
        brief = time.monotonic() - self._connected_at < STEADY_S
        if failure.kind == "lost" and brief and self._last_topic:
            # MQTT 3.1.1 has no other way to refuse a message
            hint = f"if this repeats, see whether the broker allows {self._last_topic}"
            if self._settings.client_id is not None:
                hint += f", and whether another client has the client_id {self._settings.client_id}"
            failure = replace(failure, reason=f"{failure.reason}; {hint}")
        if failure != self._failure:
            logger.warning("MQTT: not connected: %s; trying again", failure.reason)
        self._failure = failure

    def _serve(self, connection: "Connection") -> None:
        while connection.failure is None:
            self._settle(connection)
            age_s = self._oldest_age_s()
            if age_s > self._settings.ack_timeout_s:
                reason = f"the broker has not acknowledged a message for {age_s:.0f} s"
                connection.failure = Failure("timeout", reason)
                return
            room = len(self._in_flight) < connection.max_in_flight and age_s < STALL_S
            with self._news:
                item = self._outbox.next() if room else None
                flushed = item is None and self._flushed(age_s)
            if flushed:
                connection.goodbye(answering=age_s < STALL_S)
                return
            if item is not None:
                self._publish(connection, item)
            elif not connection.acks:
                rest_s = min(ACK_MAY_REST_S, self._settings.ack_timeout_s / 2) - age_s
                if rest_s > 0 and self._few_in_flight(connection):
                    connection.step(rest_s, unhurried=True)
                else:
                    connection.step(self._timeout_s())

    def _few_in_flight(self, connection: "Connection") -> bool:
        few = 0 < len(self._in_flight) <= connection.max_in_flight // 8
        return few and self._flush_until is None

    def _oldest_age_s(self) -> float:
        for _, sent_at in self._in_flight.values():
            return time.monotonic() - sent_at
        return 0.0

    def _flushed(self, age_s: float) -> bool:
        """Tell whether nothing waits any more, or waiting has become pointless."""
        if self._flush_until is None:
            return False
        waiting = bool(self._outbox) or bool(self._in_flight)
        return not waiting or age_s >= STALL_S or time.monotonic() >= self._flush_until

    def _timeout_s(self) -> float | None:
        """How long nothing may happen until something must be done; None: for ever."""
        limits = []
        if self._in_flight:
            longest_s = STALL_S if self._flush_until is not None else self._settings.ack_timeout_s
            limits.append(longest_s - self._oldest_age_s())
        if self._flush_until is not None:
            limits.append(self._flush_until - time.monotonic())
        return max(min(limits), 0.0) + 0.01 if limits else None

    def _publish(self, connection: "Connection", item: Item) -> None:
        try:
            message = to_message(item, self._topics, self._settings.qos_score, self._clock())
            mid = connection.publish(message)
        except (TypeError, ValueError):
            logger.exception("MQTT: a record cannot be published: %r", item)
            self._metrics.sink_errors.labels("mqtt").inc()
            self._ledger.drop(*Outbox.lost(item))
            return
        self._in_flight[mid] = message, time.monotonic()
        self._last_topic = message.topic

    def _settle(self, connection: "Connection") -> None:
        """Count what the broker has acknowledged."""
        while connection.acks:
            ack = connection.acks.popleft()
            message, _ = self._in_flight.pop(ack.mid, (None, 0.0))
            if ack.refused:
                self._refused(ack.refused, message)
                continue
            self._ledger.publish(message.kind if message is not None else "retained")

    def _refused(self, reason: str, message: Message | None) -> None:
        topic = message.topic if message is not None else self._topics.status
        if topic not in self._refusals:
            self._refusals.add(topic)
            logger.warning("MQTT: the broker refuses messages to %s: %s", topic, reason)
        if message is not None:
            self._ledger.drop(*Outbox.lost(message))
