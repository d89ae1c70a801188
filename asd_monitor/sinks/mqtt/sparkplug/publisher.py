"""Publish an edge node's messages over one connection after the other.

Data is sent with QoS 0, as the specification requires, so the broker does not acknowledge it. The
monitor therefore subscribes to its commands again after some messages: the broker answers that
when it has received what was sent before.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.rows import Row
from asd_monitor.outbox.worker import OutboxWorker
from asd_monitor.sinks.mqtt.failures import Failure
from asd_monitor.sinks.mqtt.sparkplug.devices import Devices
from asd_monitor.sinks.mqtt.sparkplug.edge_node import EdgeNode, UnknownDeviceError
from asd_monitor.sinks.mqtt.sparkplug.host import PrimaryHost, RebirthRequests
from asd_monitor.sinks.mqtt.sparkplug.topics import SparkplugTopics
from asd_monitor.telemetry.clock_steps import ClockSteps
from asd_monitor.telemetry.mqtt_series import SparkplugSeries

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

MAX_UNCONFIRMED = 100
CONFIRM_INTERVAL_S = 1.0
"""The broker is asked for a confirmation so often while data is sent."""


class SparkplugPublisher:
    """The loop that publishes, for the thread that owns the connections.

    Parameters
    ----------
    topics
        The topics of the edge node.
    node
        Makes the messages.
    devices
        The machines.
    outbox, worker
        Scores and events that wait, and the thread that commits them.
    series
        Where births and commands are counted.
    ack_timeout_s
        Reconnect if the broker has not confirmed the data for so long.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        topics: SparkplugTopics,
        node: EdgeNode,
        devices: Devices,
        outbox: Outbox,
        worker: OutboxWorker,
        series: SparkplugSeries,
        ack_timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.flush_until_s: float | None = None
        """End when nothing more must be sent, at this monotonic time at the latest."""
        self._topics = topics
        self._node = node
        self._devices = devices
        self._outbox = outbox
        self._worker = worker
        self._series = series
        self._ack_timeout_s = ack_timeout_s
        self._clock_steps = ClockSteps(clock)
        self._rebirths = RebirthRequests()
        self._host = PrimaryHost(is_awaited=topics.host_state is not None)
        self._unconfirmed: list[Row] = []
        self._confirming: list[Row] = []
        self._confirmation: int | None = None
        self._asked_s = float("-inf")

    def run(self, connection: "Connection") -> None:
        """Publish until the connection fails, the host is offline, or all is sent after the end."""
        self._host = PrimaryHost(is_awaited=self._topics.host_state is not None)
        if self._topics.host_state is not None:
            connection.subscribe([self._topics.host_state], qos=1)
        self._ask(connection)
        was_online = False
        while connection.failure is None:
            self._correct_times()
            self._receive(connection)
            if self._host.is_online and not self._node.is_born:
                self._node.bear()
                was_online = True
            elif was_online and not self._host.is_online:
                logger.info("Sparkplug: the primary host %s is offline", self._topics.primary_host)
                break
            if self._rebirths.due_in_s(time.monotonic()) <= 0 and self._node.is_born:
                self._node.bear()
            self._publish_due(connection)
            if self._is_flushed():
                break
            self._confirm(connection)
        if connection.failure is None:
            connection.disconnect_gracefully()

    def stop(self) -> None:
        """End a session; what the broker has not confirmed is sent again in the next."""
        self._series.online.set(0)
        self._node.is_born = False
        self._unconfirmed, self._confirming, self._confirmation = [], [], None
        self._outbox.disconnect()

    def _receive(self, connection: "Connection") -> None:
        """Process commands, the state of the host, and confirmations."""
        connection.acks.clear()  # of QoS 0: the system has accepted the message
        while connection.incoming:
            message = connection.incoming.popleft()
            if message.topic == self._topics.host_state:
                self._host.receive(message.payload)
            elif message.topic == self._topics.of_node("NCMD"):
                accepted = self._rebirths.receive(message)
                self._series.commands.labels("rebirth" if accepted else "ignored").inc()
        while connection.answered:
            if connection.answered.popleft() == self._confirmation:
                for row in self._confirming:
                    self._outbox.acknowledge(row)
                self._confirming, self._confirmation = [], None
                if self._outbox.needs_work():
                    self._worker.wake()

    def _publish_due(self, connection: "Connection") -> None:
        """Publish what is due, as far as the broker keeps up."""
        self._publish_node(connection)
        while self._node.is_born and self._has_room:
            found = self._outbox.next(
                max_replays=MAX_UNCONFIRMED, at_once=self.flush_until_s is not None
            )
            if found is None:
                break
            row, payload, replayed = found
            self._publish_node(connection)  # a machine that is new must be born first
            try:
                message = self._node.data(row, payload, replayed=replayed)
            except (UnknownDeviceError, ValueError, KeyError, TypeError):
                self._outbox.refuse(row)
                continue
            if message is not None:
                connection.publish(message)
            self._unconfirmed.append(row)
        if self._outbox.needs_work():
            self._worker.wake()

    @property
    def _has_room(self) -> bool:
        return len(self._unconfirmed) + len(self._confirming) < MAX_UNCONFIRMED

    def _publish_node(self, connection: "Connection") -> None:
        """Publish births, deaths and values that do not go through the outbox."""
        while (message := self._node.next()) is not None:
            connection.publish(message)
            if message.topic == self._topics.of_node("NBIRTH"):
                self._on_born()

    def _on_born(self) -> None:
        self._rebirths.reborn(time.monotonic())
        self._series.births.inc()
        self._series.online.set(1)
        self._outbox.connect()
        self._worker.wake()

    def _confirm(self, connection: "Connection") -> None:
        """Ask for a confirmation if it is time, and wait for something to do."""
        now_s = time.monotonic()
        if self._confirmation is not None and now_s - self._asked_s > self._ack_timeout_s:
            reason = f"the broker has not confirmed data for {now_s - self._asked_s:.0f} s"
            connection.failure = Failure("timeout", reason)
            return
        interval_s = 0.0 if self.flush_until_s is not None else CONFIRM_INTERVAL_S
        is_due = now_s - self._asked_s >= interval_s or not self._has_room
        if self._confirmation is None and self._unconfirmed and is_due:
            self._ask(connection)
        connection.loop_once(self._timeout_s(time.monotonic()))

    def _ask(self, connection: "Connection") -> None:
        self._confirmation = connection.subscribe([self._topics.of_node("NCMD")], qos=1)
        self._confirming, self._unconfirmed = self._unconfirmed, []
        self._asked_s = time.monotonic()

    def _timeout_s(self, now_s: float) -> float:
        """Return the time until something is to be done even if nothing arrives."""
        limits_s = [self._rebirths.due_in_s(now_s)]
        if self._node.is_born and self._has_room:
            limits_s.append(self._outbox.due_in_s(MAX_UNCONFIRMED))
        if self._confirmation is not None:
            limits_s.append(self._asked_s + self._ack_timeout_s - now_s)
        elif self._unconfirmed:
            limits_s.append(self._asked_s + CONFIRM_INTERVAL_S - now_s)
        if self.flush_until_s is not None:
            limits_s += [self.flush_until_s - now_s, 0.05]
        return max(min(limits_s), 0.0) + 0.005

    def _is_flushed(self) -> bool:
        """Return whether the monitor ends, and nothing waits any more or it is time."""
        if self.flush_until_s is None:
            return False
        waits = bool(self._unconfirmed) or self._confirmation is not None
        waits = waits or self._worker.has_queued or not self._outbox.is_flushed()
        return not (waits and self._node.is_born) or time.monotonic() >= self.flush_until_s

    def _correct_times(self) -> None:
        """Correct the times of what is kept if the wall clock was set."""
        step_s = self._clock_steps.take_step_s()
        if step_s:
            self._devices.shift_times(round(1000 * step_s))
            self._outbox.shift_times(step_s)
