"""Publish results as a Sparkplug edge node, over a connection of its own."""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.outbox.database import SPARKPLUG_FILE_NAME
from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.rows import Draft
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.unstored import MemoryLimits
from asd_monitor.outbox.worker import OutboxWorker
from asd_monitor.records import MachineRemoved, Record
from asd_monitor.sinks.mqtt.messages import is_event, is_kept, to_draft
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sparkplug.birth_death_number import FILE_NAME, BirthDeathNumber
from asd_monitor.sinks.mqtt.sparkplug.counters import SparkplugCounter
from asd_monitor.sinks.mqtt.sparkplug.device_metrics import (
    payload_time_ms,
    payload_values,
    record_values,
)
from asd_monitor.sinks.mqtt.sparkplug.devices import Devices
from asd_monitor.sinks.mqtt.sparkplug.edge_node import EdgeNode
from asd_monitor.sinks.mqtt.sparkplug.publisher import SparkplugPublisher
from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class
from asd_monitor.sinks.mqtt.sparkplug.settings import SparkplugSettings
from asd_monitor.sinks.mqtt.sparkplug.topics import SparkplugTopics
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 3.0


class SparkplugSink:
    """A sink with one thread, which connects, publishes, and reconnects.

    A connection has one last will, and that of the edge node is its death, so the edge node does
    not share the connection of the other topics. Scores and events wait in an outbox of their own:
    a host may be offline while the broker is not.

    Parameters
    ----------
    settings
        The broker.
    sparkplug
        Names of the edge node.
    metrics
        Where births, commands and losses are counted.
    topics
        The node's name, and the names of the machines for people.
    machines
        Ids of the machines.
    outbox_path
        Database of the other topics, next to which that of the edge node is kept; None: everything
        waits in memory only.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: MqttSettings,
        sparkplug: SparkplugSettings,
        metrics: Metrics,
        *,
        topics: Topics,
        machines: Sequence[str],
        outbox_path: Path | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = topics
        names = SparkplugTopics(
            sparkplug.group, sparkplug.edge_node or topics.node, sparkplug.primary_host
        )
        self._edge_node = f"{names.group}/{names.edge_node}"
        given = settings.client_id
        self._client_id = f"{given or f'asd-monitor-{uuid.uuid4().hex[:12]}'}-sparkplug"
        self._number = BirthDeathNumber(outbox_path and outbox_path.with_name(FILE_NAME))
        self._errors = metrics.sink_errors.labels("sparkplug")
        self._devices = Devices(machines, topics.names)
        self._node = EdgeNode(names, self._devices, clock)
        counter = SparkplugCounter(metrics)
        outbox = self._outbox = Outbox(
            None
            if settings.outbox is None or outbox_path is None
            else outbox_path.with_name(SPARKPLUG_FILE_NAME),
            settings.outbox or OutboxSettings(),
            topics.node,
            counter,
            memory=MemoryLimits(settings.score_queue, settings.event_queue),
            clock=clock,
        )
        self._worker = OutboxWorker(
            outbox,
            self._encode,
            is_event,
            self._wake,
            lambda _record: self._errors.inc(),
            lambda scores, events: counter.dropped("ended", scores, events),
        )
        self._publisher = SparkplugPublisher(
            names,
            self._node,
            self._devices,
            outbox,
            self._worker,
            metrics.sparkplug,
            settings.ack_timeout_s,
            clock,
        )
        metrics.queue_depth.labels("sparkplug").set_function(
            lambda: outbox.waiting_scores + outbox.waiting_events
        )
        self._series = metrics.sparkplug
        self._lock = threading.Lock()  # guards the next one
        self._connection: Connection | None = None
        self._closing = threading.Event()
        self._logged_failure = ""
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start the threads, whether or not the broker is available.

        Raises
        ------
        SinkError
            If ``protobuf`` is not installed.
        """
        payload_class()
        self._series.online.set(0)
        self._worker.start()
        self._thread = threading.Thread(target=self._run, name="sparkplug", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Queue a record; returns at once."""
        if isinstance(record, MachineRemoved):
            self._devices.remove(record.machine)
        elif is_kept(record):
            self._worker.put(record)
            return
        elif values := record_values(record):
            at_ms = round(self._clock() * 1000)
            self._devices.update(record.machine, values, at_ms, send=True)
        self._wake()

    def _encode(self, record: Record) -> Draft:
        """Return a record as a message of the outbox, and note its values for births."""
        draft = to_draft(record, self._topics, self._clock())
        members = json.loads(draft.payload)
        values, at_ms = payload_values(draft.topic, members), payload_time_ms(members)
        self._devices.update(draft.machine, values, at_ms, send=False)
        return draft

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.wake()

    def begin_close(self) -> None:
        """Accept no more records; what is new is published, then the death."""
        self._worker.stop_accepting()
        with self._lock:
            if not self._closing.is_set():
                self._publisher.flush_until_s = time.monotonic() + FLUSH_TIMEOUT_S
                self._closing.set()
            connection = self._connection
        if connection is not None and self._node.is_born:
            connection.wake()
        elif connection is not None:
            connection.abort()

    def close(self) -> None:
        """Publish what is new, within three seconds, then the death, then disconnect."""
        self.begin_close()
        if self._thread is not None:
            self._thread.join(FLUSH_TIMEOUT_S + 2.0)
            self._worker.close()

    @property
    def is_online(self) -> bool:
        """Whether the edge node has been born on the present connection."""
        return self._node.is_born

    def _run(self) -> None:
        attempts = 0
        settings = self._settings
        while not self._closing.is_set():
            attempts += 1
            try:
                if self._connect_and_publish():
                    attempts = 0
            except Exception:
                logger.exception("Sparkplug: unexpected error; reconnecting")
                self._errors.inc()
            pause_s = settings.reconnect_min_s * 2.0 ** min(attempts, 20)
            self._closing.wait(min(pause_s, settings.reconnect_max_s))

    def _connect_and_publish(self) -> bool:
        """Connect once and publish until the connection ends; return whether there was one."""
        from asd_monitor.sinks.mqtt.connection import Connection

        with self._lock:
            if self._closing.is_set():
                return False
            will = self._node.will(self._number.value)
            connection = Connection(self._settings, self._client_id, None, will)
            self._connection = connection
        connected = False
        try:
            connected = connection.start()
            if connected:
                self._number.use()
                logger.info("Sparkplug: connected as the edge node %s", self._edge_node)
                self._logged_failure = ""
                self._publisher.run(connection)
        finally:
            self._publisher.stop()
            if connected:
                self._number.advance()
            with self._lock:
                self._connection = None
            connection.stop()
            self._report(connection)
        return connected

    def _report(self, connection: "Connection") -> None:
        """Log a failure, unless the same one repeats."""
        failure = connection.failure
        if failure is None or self._closing.is_set() or failure.reason == self._logged_failure:
            return
        self._logged_failure = failure.reason
        logger.warning("Sparkplug: not connected: %s; retrying", failure.reason)
