"""Publish results over MQTT, and account for every message."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from asd_monitor.records import MachineRemoved, Record
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.mqtt.commands import CommandReceiver, Submit
from asd_monitor.sinks.mqtt.counters import DeliveryCounter, DeliveryCounts
from asd_monitor.sinks.mqtt.failures import Failure
from asd_monitor.sinks.mqtt.home_assistant import Discovery
from asd_monitor.sinks.mqtt.node_info import NodeInfo, host_name, make_host_id
from asd_monitor.sinks.mqtt.node_watch import NodeWatch
from asd_monitor.sinks.mqtt.publisher import Publisher
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sparkplug.sink import SparkplugSink
from asd_monitor.sinks.mqtt.tls import make_tls_context
from asd_monitor.sinks.mqtt.topics import Topics, check_name
from asd_monitor.sinks.payloads import NO_NAMES, Names
from asd_monitor.telemetry.clock_steps import boot_time_s
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 3.0
STABLE_AFTER_S = 10.0
"""A connection that ends sooner counts as a failed attempt: the pause before the next is longer."""


class MqttSink:
    """A sink with one thread, which connects, publishes, and reconnects.

    Scores, events and evidence are committed to the outbox before they are sent, and wait there
    until the broker has acknowledged them (with ``qos_score: 0``, until the system has accepted
    them). Each is *published*, *waiting* or, if there is no room or the broker refuses it,
    *dropped* and counted. Messages that a lost connection left unacknowledged are sent again on
    the next one, so a subscriber may receive them twice, with the same ``epoch`` and ``seq``.

    Parameters
    ----------
    settings
        Where and how to publish.
    metrics
        Where connections, messages and losses are counted.
    node
        Name of this monitor in the topics.
    machines
        Ids to check in advance; each is a level of a topic.
    names
        Names of the machines for people, which the payloads carry.
    outbox_path
        Database of what waits for the broker; None: it waits in memory only.
    clock
        Seconds since the epoch.

    Raises
    ------
    ConfigError
        If the base topic, the node or a machine has a name that topics do not allow.
    """

    def __init__(
        self,
        settings: MqttSettings,
        metrics: Metrics,
        *,
        node: str,
        machines: Sequence[str] = (),
        names: Names = NO_NAMES,
        external_url: str = "",
        submit: Submit | None = None,
        outbox_path: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for machine in machines:
            check_name("machine", machine)
        self._settings = settings
        self._metrics = metrics
        self._topics = Topics(settings.base_topic, node, names)
        self._client_id = settings.client_id or f"asd-monitor-{uuid.uuid4().hex[:12]}"
        self._counter = DeliveryCounter(metrics)
        self._publisher = Publisher(
            settings, self._topics, metrics, self._counter, clock, self._wake, outbox_path
        )
        self._clock = clock
        self._machines = tuple(machines)
        self._announced = set(machines)
        self._instance, self._host_id = uuid.uuid4().hex, make_host_id()
        self._started_s = boot_time_s()
        discovery, commands = None, None
        if settings.commands and submit is not None:
            commands = CommandReceiver(self._topics, self._known_machines, submit)
        if settings.home_assistant is not None:
            discovery = Discovery(
                settings.home_assistant,
                self._topics,
                self._known_machines,
                external_url,
                with_buttons=commands is not None,
            )
        self._watch = NodeWatch(
            self._topics,
            self._make_info,
            self._known_machines,
            self._publisher.republish,
            metrics.mqtt.node_conflict.set,
            discovery,
            commands,
        )
        self._sparkplug: SparkplugSink | None = None
        if settings.sparkplug is not None:
            self._sparkplug = SparkplugSink(
                settings,
                settings.sparkplug,
                metrics,
                topics=self._topics,
                machines=machines,
                outbox_path=outbox_path,
                clock=clock,
            )
        self._lock = threading.Lock()  # guards the next two
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._connected_s = 0.0
        self._connections = 0
        self._failure: Failure | None = None
        self._logged_failure: Failure | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def build(cls, settings: MqttSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        if settings.commands and context.submit is None:
            logger.warning("mqtt.commands: no commands are received, because the history is off")
        return cls(
            settings,
            context.metrics,
            node=context.node,
            machines=context.machines,
            names=context.names,
            external_url=context.external_url,
            submit=context.submit,
            outbox_path=context.outbox_path,
        )

    def open(self) -> None:
        """Start the thread, whether or not the broker is available.

        Raises
        ------
        SinkError
            If a password or certificate named in the settings cannot be read.
        """
        self._settings.read_password()
        if risk := self._settings.describe_risk():
            logger.warning("%s", risk)
        if self._settings.tls is not None:
            make_tls_context(self._settings.tls)
        self._metrics.mqtt.connected.set(0)
        self._metrics.mqtt.node_conflict.set(0)
        if self._sparkplug is not None:
            self._sparkplug.open()
        self._publisher.open()
        self._thread = threading.Thread(target=self._run, name="mqtt-sink", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Queue a record; returns at once."""
        if self._sparkplug is not None:
            self._sparkplug.emit(record)
        is_due = self._publisher.enqueue(record)
        if isinstance(record, MachineRemoved):
            self._announced.discard(record.machine)
            self._machines = tuple(name for name in self._machines if name != record.machine)
            self._watch.remove(record.machine)
            is_due = True
        elif record.machine not in self._announced:  # it was added to the running monitor
            self._announced.add(record.machine)
            self._watch.announce_again()
            is_due = True
        if is_due:  # a score or an event wakes the connection when it has been committed
            self._wake()

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.wake()

    def close(self) -> None:
        """Publish what is new, within three seconds, then ``offline``, then disconnect.

        What is in the outbox remains there for the next start.
        """
        if self._sparkplug is not None:
            self._sparkplug.begin_close()  # at the same time
        with self._lock:
            if not self._closing.is_set():
                self._publisher.close(time.monotonic() + FLUSH_TIMEOUT_S)
                self._closing.set()
            connection = self._connection
        if connection is not None and self._publisher.connected:
            connection.wake()
        elif connection is not None:
            connection.abort()
        if self._thread is not None:
            # Not longer: the name resolution may hang, and the thread is a daemon.
            self._thread.join(FLUSH_TIMEOUT_S + 2.0)
        self._publisher.finish()
        if self._sparkplug is not None:
            self._sparkplug.close()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the login and the connection is up."""
        return self._publisher.connected

    @property
    def failure(self) -> str:
        """Why there is no connection, for the user; empty while there is one."""
        failure = self._failure
        return failure.reason if failure is not None else ""

    def counts(self) -> DeliveryCounts:
        """Return the delivery counts so far."""
        return self._counter.counts()

    def _run(self) -> None:
        attempts = 0
        while not self._closing.is_set():
            try:
                connected = self._connect_and_publish()
            except Exception:
                logger.exception("MQTT: unexpected error; reconnecting")
                self._metrics.sink_errors.labels("mqtt").inc()
                connected = False
            stable = connected and time.monotonic() - self._connected_s > STABLE_AFTER_S
            attempts = 0 if stable else attempts + 1
            self._closing.wait(self._pause_s(attempts))

    def _pause_s(self, attempts: int) -> float:
        """Return the pause before the next attempt: it doubles, with jitter against stampedes."""
        settings = self._settings
        pause_s = min(settings.reconnect_min_s * 2.0 ** min(attempts, 20), settings.reconnect_max_s)
        jitter = 0.75 + 0.25 * (uuid.uuid4().int % 1000) / 1000
        return max(pause_s * jitter, settings.reconnect_min_s)

    def _connect_and_publish(self) -> bool:
        """Connect once and publish until the connection ends; return whether there was one."""
        from asd_monitor.sinks.mqtt.connection import Connection

        with self._lock:
            if self._closing.is_set():
                return False
            connection = Connection(self._settings, self._client_id, self._topics.status)
            self._connection = connection
        connected = False
        try:
            connected = connection.start()
            if connected:
                self._on_connected()
                self._publisher.run(connection, self._watch)
        finally:
            self._on_disconnected(connection)
        return connected

    def _known_machines(self) -> set[str]:
        return self._publisher.machines.union(self._machines)

    def _make_info(self) -> NodeInfo:
        now = self._clock()
        return NodeInfo(
            node=self._topics.node,
            instance=self._instance,
            host=host_name(),
            host_id=self._host_id,
            client_id=self._client_id,
            started_at=now - (boot_time_s() - self._started_s),  # right even if the clock was set
            machines=tuple(sorted(self._known_machines())),
            published_at=now,
        )

    def _on_connected(self) -> None:
        self._connected_s = time.monotonic()
        self._publisher.connect()
        self._metrics.mqtt.connected.set(1)
        self._connections += 1
        if self._connections > 1:
            self._metrics.mqtt.reconnects.inc()
        self._failure = None
        address = f"{self._settings.host}:{self._settings.port}"
        scores, events = self._publisher.waiting
        logger.info("MQTT: connected to %s; %d scores and %d events wait", address, scores, events)

    def _on_disconnected(self, connection: "Connection") -> None:
        self._metrics.mqtt.connected.set(0)
        self._publisher.disconnect(connection)
        with self._lock:
            self._connection = None
        connection.stop()
        if connection.failure is not None and not self._closing.is_set():
            self._report_failure(connection.failure)

    def _report_failure(self, failure: Failure) -> None:
        """Count a failure, and log it unless the same one repeats."""
        brief = time.monotonic() - self._connected_s < STABLE_AFTER_S
        if failure.kind == "lost" and brief:
            failure = self._explain_brief_connection(failure)
        self._metrics.mqtt.failures.labels(failure.kind).inc()
        if failure != self._logged_failure:
            logger.warning("MQTT: not connected: %s; retrying", failure.reason)
        self._failure = self._logged_failure = failure

    def _explain_brief_connection(self, failure: Failure) -> Failure:
        """Add why the broker may have ended a connection soon after the login."""
        client_id, other = self._settings.client_id, self._watch.conflict
        if other is not None and other.client_id == self._client_id:
            reason = f"another monitor logs in with the same client_id, {self._client_id}"
            return Failure("taken_over", f"{reason}, which ends this connection")
        # Disconnecting is the only way to refuse a message in MQTT 3.1.1.
        last_topic = self._publisher.last_topic
        hint = f"the last message was to {last_topic}; if this repeats, the monitor sends one "
        hint += "message at a time to find the one that the broker refuses"
        if client_id is not None:
            hint += f". Check also whether another client has the client_id {client_id}"
        return replace(failure, reason=f"{failure.reason}; {hint}") if last_topic else failure
