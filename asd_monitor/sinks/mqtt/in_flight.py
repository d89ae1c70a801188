"""Send messages over a connection, and account for each by the answer of the broker."""

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from asd_monitor.outbox.outbox import Outbox
from asd_monitor.sinks.mqtt.counters import DeliveryCounter
from asd_monitor.sinks.mqtt.delivery_mark import DeliveryMark
from asd_monitor.sinks.mqtt.messages import Message
from asd_monitor.sinks.mqtt.refusals import (
    SETTLE_S,
    Cause,
    Refusals,
    Sent,
    count_packet_bytes,
    make_probe,
)
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

CAUSES: dict[str, Cause] = {"Packet too large": "size", "Not authorized": "topic"}
"""Causes of refusals, by the name of their reason in MQTT 5."""


class MessagesInFlight:
    """Messages that were sent and not acknowledged, over one connection after the other.

    Parameters
    ----------
    topics
        Topics for tests of a broker that refuses messages.
    metrics
        Where unexpected errors and refused messages are recorded.
    counter
        Where published messages are counted.
    outbox
        Where the answer to each of its rows is noted.
    mark
        Is informed of accepted messages; None without a database.
    version5
        Whether MQTT 5 is used, whose packets are longer by a byte.
    """

    def __init__(
        self,
        topics: Topics,
        metrics: Metrics,
        counter: DeliveryCounter,
        outbox: Outbox,
        mark: DeliveryMark | None,
        *,
        version5: bool,
    ) -> None:
        self.last_topic = ""
        """Topic of the newest message on the present connection."""
        self._topics = topics
        self._errors = metrics.sink_errors.labels("mqtt")
        self._refused = metrics.mqtt.refused
        self._counter = counter
        self._outbox = outbox
        self._mark = mark
        self._version5 = version5
        self._sent: dict[int, tuple[Message, float]] = {}  # by id, with the time of sending
        self._refusals = Refusals(topics.check)
        self._refused_topics: set[str] = set()
        self._unsettled: Message | None = None
        self._last_acked: Sent | None = None

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def is_unsettled(self) -> bool:
        """Whether a message was acknowledged that may still end the connection."""
        return self._unsettled is not None

    @property
    def is_careful(self) -> bool:
        """Whether messages are to be sent one at a time, with QoS 1."""
        return self._refusals.is_careful(time.monotonic())

    def begin(self, max_packet_bytes: int | None) -> None:
        """Begin a connection whose largest packet the broker may have announced."""
        self._refusals.begin(max_packet_bytes, time.monotonic())

    def end(self, connection: "Connection") -> None:
        """Account for what was sent over a connection that has ended."""
        self.process_acks(connection)
        refused = False
        if connection.failure is not None and connection.failure.kind == "lost":
            refused = self._refusals.lost(time.monotonic())
        elif connection.failure is not None:
            self._refusals.reset()
        if self._unsettled is not None and refused:
            self._count_refused(self._unsettled, "other")
        elif self._unsettled is not None:
            self._count_published(self._unsettled)
        self._unsettled = self._last_acked = None
        self._sent.clear()

    def oldest_age_s(self) -> float:
        """Return how long the oldest message has been in flight; 0 without any."""
        for _, sent_s in self._sent.values():
            return time.monotonic() - sent_s
        return 0.0

    def next_probe(self) -> Message | None:
        """Return a message that tests what the broker refuses; None if none is needed."""
        probe_bytes = self._refusals.next_probe_bytes()
        if probe_bytes is None:
            return None
        return make_probe(self._topics.check, probe_bytes, version5=self._version5)

    def publish(self, connection: "Connection", message: Message, *, careful: bool) -> None:
        """Send a message, or count it as refused if the broker is known to refuse it."""
        if careful:
            message = replace(message, qos=1)
        sent = self._describe(message)
        cause = self._refusals.find_cause(sent.topic, sent.packet_bytes, time.monotonic())
        if cause is not None and message.topic != self._topics.check:
            self._count_refused(message, cause)
            return
        try:
            mid = connection.publish(message)
        except (TypeError, ValueError):
            logger.exception("MQTT: a message to %s cannot be published", message.topic)
            self._errors.inc()
            self._count_refused(message, "other")
            return
        self._sent[mid] = message, time.monotonic()
        self.last_topic = message.topic
        if careful:
            self._refusals.sent(sent)

    def settle(self, connection: "Connection") -> None:
        """Count a message that was sent alone, unless the broker ends the connection now."""
        connection.loop_once(SETTLE_S)
        if connection.failure is None and self._unsettled is not None:
            self._count_published(self._unsettled)
            self._refusals.accepted(time.monotonic())
            self._unsettled = None

    def process_acks(self, connection: "Connection") -> None:
        """Count the messages that the broker has accepted or refused."""
        careful = self.is_careful
        while connection.acks:
            ack = connection.acks.popleft()
            message, _ = self._sent.pop(ack.mid, (None, 0.0))  # None: the status
            if ack.refused:
                self._process_refusal(message, ack.refused)
            elif message is None:
                self._counter.count_published("retained")
            elif careful:
                self._unsettled = message
            else:
                self._count_published(message)
                if self._last_acked is not None:
                    self._refusals.prove(self._last_acked)
                self._last_acked = self._describe(message)

    def _process_refusal(self, message: Message | None, reason: str) -> None:
        """Count and report a message that the broker has refused by name."""
        topic = self._topics.status if message is None else message.topic
        if topic not in self._refused_topics:
            self._refused_topics.add(topic)
            logger.warning("MQTT: the broker refuses messages to %s: %s", topic, reason)
        if message is not None:
            self._count_refused(message, CAUSES.get(reason, "other"))

    def _count_published(self, message: Message) -> None:
        """Count a message that the broker has accepted, and note it in the outbox."""
        self._counter.count_published(message.kind)
        if message.row is not None:
            self._outbox.acknowledge(message.row)
        if self._mark is not None:
            self._mark.acknowledge(message)

    def _count_refused(self, message: Message, cause: Cause) -> None:
        """Count a message that the broker refuses, and do not send it again."""
        self._refused.labels(cause).inc()
        if message.row is not None:
            self._outbox.refuse(message.row)

    def _describe(self, message: Message) -> Sent:
        length = len(message.payload)
        size = count_packet_bytes(message.topic, length, qos=message.qos, version5=self._version5)
        return Sent(message.topic, size)
