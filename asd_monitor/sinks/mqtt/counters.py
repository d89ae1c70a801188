"""Delivery counts of MQTT messages."""

import threading
from dataclasses import dataclass, replace

from asd_monitor.outbox.report import DropReason
from asd_monitor.sinks.mqtt.messages import Kind
from asd_monitor.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """Numbers of messages since the start."""

    published: int = 0
    """Messages of every kind that the broker acknowledged."""
    scores_published: int = 0
    scores_dropped: int = 0
    events_published: int = 0
    events_dropped: int = 0


class DeliveryCounter:
    """Count each message once, here and in the metrics; may be used from several threads."""

    def __init__(self, metrics: Metrics) -> None:
        self._lock = threading.Lock()
        self._counts = DeliveryCounts()
        self._published = metrics.mqtt.messages.labels("published")
        self._dropped = metrics.mqtt.messages.labels("dropped")
        self._dropped_scores = metrics.dropped.labels("mqtt_scores")
        self._dropped_events = metrics.dropped.labels("mqtt_events")
        self._dropped_by_reason = metrics.mqtt.outbox_dropped
        self._set_aside = metrics.mqtt.outbox_set_aside

    def count_published(self, kind: Kind) -> None:
        """Count a message that the broker acknowledged."""
        self._published.inc()
        with self._lock:
            counts = self._counts
            self._counts = replace(
                counts,
                published=counts.published + 1,
                scores_published=counts.scores_published + (kind == "score"),
                events_published=counts.events_published + (kind == "event"),
            )

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        """Count scores and events that will not be sent."""
        if not scores and not events:
            return
        self._dropped_by_reason.labels(reason).inc(scores + events)
        self._dropped.inc(scores + events)
        self._dropped_scores.inc(scores)
        self._dropped_events.inc(events)
        with self._lock:
            counts = self._counts
            self._counts = replace(
                counts,
                scores_dropped=counts.scores_dropped + scores,
                events_dropped=counts.events_dropped + events,
            )

    def set_aside(self) -> None:
        """Count a database of the outbox that was set aside."""
        self._set_aside.inc()

    def counts(self) -> DeliveryCounts:
        """Return the present counts."""
        return self._counts
