"""Publish queued records over one connection after the other."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.unstored import MemoryLimits
from asd_monitor.outbox.worker import OutboxWorker
from asd_monitor.records import Record
from asd_monitor.sinks.mqtt.counters import DeliveryCounter
from asd_monitor.sinks.mqtt.delivery_mark import DeliveryMark
from asd_monitor.sinks.mqtt.failures import Failure
from asd_monitor.sinks.mqtt.in_flight import MessagesInFlight
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import (
    Message,
    is_event,
    is_kept,
    outbox_message,
    retained_message,
    to_draft,
)
from asd_monitor.sinks.mqtt.node_watch import NodeWatch
from asd_monitor.sinks.mqtt.retained import RetainedMessages
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.subscription import SubscriptionCheck
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.telemetry.clock_steps import ClockSteps
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

ACK_STALL_S = 2.0
"""While a message has been unacknowledged for longer, no more are sent, so that fewer are lost or
duplicated if the connection turns out to be broken."""
ACK_DELAY_S = 0.002
"""Acknowledgements of some messages are read together after this time, which takes less CPU time.
Not later: what was sent and not noted as acknowledged is sent twice after a crash."""
REPLAY_SHARE = 0.1
"""Part of the messages in flight that may be of the backlog: 20, which allows 200 per second if the
broker answers within 100 ms. If it answers more quickly, fewer are, see
:meth:`~asd_monitor.outbox.sending.Sending.choose_replay_window`."""


class Publisher:
    """The outbox and the retained messages of a sink, and the loop that publishes them.

    Records may be enqueued from any thread. All other methods but :meth:`open`, :meth:`close` and
    :meth:`finish` are for the thread that owns the connections.

    Parameters
    ----------
    settings
        Sizes of the outbox, quality of service and timeouts.
    topics
        Where to publish.
    metrics
        Where unexpected errors and the lengths of the queues are recorded.
    counter
        Where published and dropped messages are counted.
    clock
        Seconds since the epoch.
    wake
        Lets the thread that owns the connections look for new messages.
    outbox_path
        Database of the outbox; None: it is in memory only.
    clock_steps
        Reports when ``clock`` was set; None: compare it with the time since the boot.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        metrics: Metrics,
        counter: DeliveryCounter,
        clock: Callable[[], float],
        wake: Callable[[], None],
        outbox_path: Path | None = None,
        clock_steps: ClockSteps | None = None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        errors = metrics.sink_errors.labels("mqtt")
        self._clock = clock
        self._clock_steps = ClockSteps(clock) if clock_steps is None else clock_steps
        self._lock = threading.Lock()  # guards the next two
        self._retained = RetainedMessages(settings.health_interval_s)
        self._flush_until_s: float | None = None
        self._connected = False
        outbox = self._outbox = Outbox(
            None if settings.outbox is None else outbox_path,
            settings.outbox or OutboxSettings(),
            topics.node,
            counter,
            memory=MemoryLimits(settings.score_queue, settings.event_queue),
            clock=clock,
        )
        self._worker = OutboxWorker(
            outbox,
            lambda record: to_draft(record, topics, clock()),
            is_event,
            wake,
            lambda _record: errors.inc(),
            lambda scores, events: counter.dropped("ended", scores, events),
        )
        self._mark = DeliveryMark(topics, outbox) if outbox.path is not None else None
        version5 = settings.protocol == "5"
        self._in_flight = MessagesInFlight(
            topics, metrics, counter, outbox, self._mark, version5=version5
        )
        self._subscription = SubscriptionCheck()
        metrics.queue_depth.labels("mqtt_scores").set_function(lambda: outbox.waiting_scores)
        metrics.queue_depth.labels("mqtt_events").set_function(lambda: outbox.waiting_events)
        metrics.mqtt.outbox_oldest_age.set_function(outbox.oldest_age_s)
        if outbox.path is not None:
            metrics.mqtt.outbox_size.set_function(lambda: outbox.size_bytes)
            metrics.mqtt.outbox_degraded.set_function(lambda: outbox.is_degraded)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to publish over."""
        return self._connected

    @property
    def last_topic(self) -> str:
        """Topic of the newest message on the present connection."""
        return self._in_flight.last_topic

    @property
    def machines(self) -> set[str]:
        """The machines of which there is a retained message."""
        with self._lock:
            return self._retained.machines

    @property
    def waiting(self) -> tuple[int, int]:
        """Numbers of scores and events that the broker has not acknowledged."""
        return self._outbox.waiting_scores, self._outbox.waiting_events

    def republish(self, machine: str) -> None:
        """Publish the retained messages of a machine again."""
        with self._lock:
            self._retained.republish(machine)

    def open(self) -> None:
        """Start the thread of the outbox."""
        self._worker.start()

    def enqueue(self, record: Record) -> bool:
        """Queue a record, or count it as dropped; return whether a retained message is due."""
        with self._lock:
            self._correct_times()
            if self._flush_until_s is None:
                self._retained.update(record, self._clock())
            is_due = bool(self._retained)
        if is_kept(record):
            self._worker.put(record)
        return is_due

    def close(self, flush_until_s: float) -> None:
        """Accept no more records; :meth:`run` then ends when nothing more must be sent.

        Parameters
        ----------
        flush_until_s
            When :meth:`run` ends in any case, on the monotonic clock.
        """
        self._worker.stop_accepting()
        with self._lock:
            self._flush_until_s = flush_until_s

    def finish(self) -> None:
        """Store what has not been sent, and close the outbox; count what is lost."""
        with self._lock:
            self._retained.clear()
        self._worker.close()

    def connect(self) -> None:
        """Publish from now on, now that there is a connection."""
        self._in_flight.last_topic = ""
        with self._lock:
            self._correct_times()
            self._retained.republish_all()
        self._connected = True
        self._outbox.connect()
        self._worker.wake()

    def _correct_times(self) -> None:
        """Correct the times of what is kept if the wall clock was set; holds the lock."""
        step_s = self._clock_steps.take_step_s()
        if step_s:
            self._retained.shift_times(step_s)
            self._outbox.shift_times(step_s)
            logger.info("MQTT: the clock was set by %+.0f s; retained times are corrected", step_s)

    def disconnect(self, connection: "Connection") -> None:
        """End publishing; what is not acknowledged is sent again on the next connection."""
        self._subscription.end(connection)
        self._in_flight.end(connection)
        self._connected = False
        self._outbox.disconnect()

    def run(self, connection: "Connection", watch: NodeWatch) -> None:
        """Publish until the connection fails, or until everything is flushed after close."""
        watch.login(time.monotonic())
        if self._subscription.is_possible:
            connection.subscribe([*watch.filters, *watch.login_filters])
            if self._mark is not None:
                connection.subscribe(self._mark.filters, own=True)
        if self._mark is not None:
            self._mark.login(time.monotonic())
        connection.publish_status()
        self._in_flight.begin(connection.max_packet_bytes)
        while connection.failure is None:
            self._in_flight.process_acks(connection)
            if self._in_flight.is_unsettled:
                self._in_flight.settle(connection)
                continue
            while connection.incoming:
                self._receive(connection.incoming.popleft(), watch)
            if watch.is_settled(time.monotonic()):
                connection.unsubscribe(watch.login_filters)
            age_s = self._in_flight.oldest_age_s()
            if age_s > self._settings.ack_timeout_s:
                reason = f"the broker has not acknowledged a message for {age_s:.0f} s"
                connection.failure = Failure("timeout", reason)
                return
            careful = self._in_flight.is_careful
            max_in_flight = 1 if careful else connection.max_in_flight
            has_room = len(self._in_flight) < max_in_flight and age_s < ACK_STALL_S
            max_replays = self._outbox.choose_replay_window(int(max_in_flight * REPLAY_SHARE))
            message = self._next_message(watch, max_replays) if has_room else None
            if message is None and self._is_flushed(age_s):
                connection.disconnect_gracefully(responsive=age_s < ACK_STALL_S)
                return
            if message is not None:
                self._in_flight.publish(connection, message, careful=careful)
            elif not connection.acks:
                due_in_s = watch.due_in_s(time.monotonic())
                if self._mark is not None:
                    due_in_s = min(due_in_s, self._mark.due_in_s(time.monotonic()))
                if has_room:
                    due_in_s = min(due_in_s, self._outbox.due_in_s(max_replays))
                self._wait(connection, age_s, due_in_s, max_in_flight)

    def _receive(self, message: Incoming, watch: NodeWatch) -> None:
        if self._mark is None or not self._mark.receive(message):
            watch.receive(message, time.monotonic())

    def _next_message(self, watch: NodeWatch, max_replays: int) -> Message | None:
        """Return what is to be published next; None if nothing waits."""
        probe = self._in_flight.next_probe()
        if probe is not None:
            return probe
        message = watch.next(time.monotonic())
        if message is not None:
            return message
        with self._lock:
            item = self._retained.next()
        if item is not None:
            return retained_message(item, self._topics, self._clock())
        if self._mark is not None:
            mark = self._mark.next(time.monotonic(), self._clock())
            if self._outbox.must_send_again:
                self._worker.wake()
            if mark is not None:
                return mark
        found = self._outbox.next(max_replays=max_replays, at_once=self._flush_until_s is not None)
        if self._outbox.needs_work():
            self._worker.wake()
        if found is None:
            return None
        row, payload, replayed = found
        return outbox_message(
            row,
            payload,
            self._topics,
            replayed=replayed,
            qos_score=self._settings.qos_score,
            expiry_s=self._settings.score_expiry_s,
        )

    def _wait(
        self, connection: "Connection", age_s: float, timeout_s: float, max_in_flight: int
    ) -> None:
        """Wait for a record or the broker, at most until a message has been in flight too long."""
        delay_s = ACK_DELAY_S - age_s
        few = 1 < len(self._in_flight) <= max_in_flight // 8
        if delay_s > 0 and few and self._flush_until_s is None:
            connection.loop_once(min(delay_s, timeout_s), coalesce=True)
        else:
            connection.loop_once(min(self._timeout_s(), timeout_s))

    def _is_flushed(self, age_s: float) -> bool:
        """Return whether nothing waits any more, or waiting has become pointless."""
        if self._flush_until_s is None:
            return False
        with self._lock:
            waiting = bool(self._retained) or bool(self._in_flight)
        waiting = waiting or self._worker.has_queued or not self._outbox.is_flushed()
        return not waiting or age_s >= ACK_STALL_S or time.monotonic() >= self._flush_until_s

    def _timeout_s(self) -> float:
        """Return the time until something must be done even if nothing arrives."""
        limits_s = []
        closing = self._flush_until_s is not None
        if self._in_flight:
            max_age_s = ACK_STALL_S if closing else self._settings.ack_timeout_s
            limits_s.append(max_age_s - self._in_flight.oldest_age_s())
        if self._flush_until_s is not None:
            limits_s.append(self._flush_until_s - time.monotonic())
        return max(min(limits_s), 0.0) + 0.01 if limits_s else float("inf")
