"""Notify people from a thread of its own, with retries, without ever holding up the monitor."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from asd_monitor.records import (
    EvidenceReady,
    MachineAlarm,
    Record,
    SourceHealth,
    SourceState,
    Transition,
)
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.notify.delivery import AppriseTarget, Target
from asd_monitor.sinks.notify.message import Message, compose
from asd_monitor.sinks.notify.plan import Plan
from asd_monitor.sinks.notify.settings import NotifySettings
from asd_monitor.sinks.payloads import NO_NAMES, Names
from asd_monitor.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

QUEUE = "notify"
MAX_RECORDS = 1000
MAX_MESSAGES = 100
"""Messages that wait for one address; of more, the oldest is dropped."""
CHECK_INTERVAL_S = 1.0
FIRST_RETRY_S = 5.0
MAX_RETRY_S = 600.0
MAX_ATTEMPTS = 12
"""About an hour."""
CLOSE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _Delivery:
    """A message on its way to one address."""

    message: Message
    attempts: int = 0
    due_s: float = float("-inf")


class _Outbox:
    """The messages that wait for one address, in order."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.waiting = deque[_Delivery]()


class NotifySink:
    """A sink that sends notifications.

    Parameters
    ----------
    settings
        Who is notified of what.
    metrics
        Where notifications are counted.
    targets
        What messages are sent to; None: the addresses of the settings.
    names
        Names of the machines for people, by id.
    external_url
        URL of the web page, for links; empty for none.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: NotifySettings,
        metrics: Metrics,
        *,
        targets: Sequence[Target] | None = None,
        names: Names = NO_NAMES,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._names = names
        self._external_url = external_url
        self._clock = clock
        self._results = metrics.notify.results
        self._dropped = metrics.dropped.labels(QUEUE)
        self._plan = Plan(settings, self._results.labels("suppressed").inc)
        self._outboxes = [_Outbox(target) for target in targets or ()]
        self._records = deque[Record]()
        self._source_states: dict[str, SourceState] = {}
        self._condition = threading.Condition()  # guards the next one and _records
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        metrics.queue_depth.labels(QUEUE).set_function(self._count_waiting)

    @classmethod
    def build(cls, settings: NotifySettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(
            settings, context.metrics, names=context.names, external_url=context.external_url
        )

    def open(self) -> None:
        """Start the thread.

        Raises
        ------
        SinkError
            If Apprise is not installed, or an address cannot be read or is not known.
        """
        if not self._outboxes:
            self._outboxes = [_Outbox(target) for target in make_targets(self._settings)]
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Note a record that may be notified; returns at once."""
        if isinstance(record, SourceHealth):
            if self._source_states.get(record.machine) is record.state:
                return
            self._source_states[record.machine] = record.state
        elif not isinstance(record, Transition | EvidenceReady | MachineAlarm):
            return
        with self._condition:
            if self._closing or len(self._records) >= MAX_RECORDS:
                self._dropped.inc()
                return
            self._records.append(record)
            self._condition.notify()

    def close(self) -> None:
        """Send what is due, within some seconds; may be called twice."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        unsent = self._count_waiting()
        if unsent:
            logger.warning("notify: %d notifications were not sent before the end", unsent)

    def _count_waiting(self) -> int:
        return sum(len(outbox.waiting) for outbox in self._outboxes)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(
                    lambda: self._closing or bool(self._records), CHECK_INTERVAL_S
                )
                records, self._records = self._records, deque()
                closing = self._closing
            try:
                self._step(records)
            except Exception:  # the thread's top: a fault here must not end it
                logger.exception("notify: a notification could not be made")
            if closing:
                return

    def _step(self, records: Sequence[Record]) -> None:
        now = self._clock()
        for record in records:
            self._plan.add(record, now)
        for notice in self._plan.due(now):
            message = compose(notice, now, self._names, self._external_url)
            for outbox in self._outboxes:
                self._put(outbox, message)
        for outbox in self._outboxes:
            self._send_due(outbox)

    def _put(self, outbox: _Outbox, message: Message) -> None:
        if len(outbox.waiting) >= MAX_MESSAGES:
            outbox.waiting.popleft()
            self._results.labels("failed").inc()
        outbox.waiting.append(_Delivery(message))

    def _send_due(self, outbox: _Outbox) -> None:
        """Send the messages of an address in order, until one fails."""
        while outbox.waiting and outbox.waiting[0].due_s <= self._clock():
            delivery = outbox.waiting[0]
            if outbox.target.send(delivery.message):
                outbox.waiting.popleft()
                self._results.labels("sent").inc()
                logger.info("notify: sent to %s: %s", outbox.target.name, delivery.message.title)
                continue
            self._retry(outbox, delivery)

    def _retry(self, outbox: _Outbox, delivery: _Delivery) -> None:
        """Try a message again later, or give it up."""
        delivery.attempts += 1
        title = delivery.message.title
        if delivery.attempts >= MAX_ATTEMPTS:
            outbox.waiting.popleft()
            self._results.labels("failed").inc()
            logger.warning("notify: %s does not accept %r; given up", outbox.target.name, title)
            return
        self._results.labels("retried").inc()
        pause_s = min(FIRST_RETRY_S * 2.0 ** (delivery.attempts - 1), MAX_RETRY_S)
        delivery.due_s = self._clock() + pause_s
        if delivery.attempts == 1:
            logger.warning("notify: %s does not accept %r; retrying", outbox.target.name, title)


def make_targets(settings: NotifySettings) -> list[Target]:
    """Return what messages are sent to.

    Raises
    ------
    SinkError
        If Apprise is not installed, or an address cannot be read or is not known.
    """
    return [AppriseTarget(number, recipient) for number, recipient in enumerate(settings.to, 1)]
