"""Counts of messages of the Sparkplug outbox."""

from asd_monitor.outbox.report import DropReason
from asd_monitor.telemetry.metrics import Metrics


class SparkplugCounter:
    """Count what is not sent, and databases that were set aside."""

    def __init__(self, metrics: Metrics) -> None:
        self._dropped = metrics.dropped.labels("sparkplug")
        self._set_aside = metrics.mqtt.outbox_set_aside

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        """Count scores and events that will not be sent."""
        self._dropped.inc(scores + events)

    def set_aside(self) -> None:
        """Count a database that was set aside."""
        self._set_aside.inc()
