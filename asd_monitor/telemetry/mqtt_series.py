"""The series of the MQTT connection."""

from math import nan

from asd_monitor.telemetry.series_factory import SeriesFactory

MQTT_RESULTS = ("published", "dropped")
MQTT_FAILURES = (
    "settings", "dns", "unreachable", "tls", "login", "lost", "timeout", "taken_over",
)  # fmt: skip

MQTT_REFUSALS = ("size", "topic", "other")


class MqttSeries:
    """Messages, connections and failures."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.connected = factory.gauge(
            "asd_mqtt_connected",
            "1 while connected to the MQTT broker, 0 while not, NaN if none is configured.",
        )
        self.messages = factory.counter(
            "asd_mqtt_messages_total", "MQTT messages by result.", "result"
        )
        self.refused = factory.counter(
            "asd_mqtt_refused_total",
            "MQTT messages that the broker refuses, by cause; scores and events among them are "
            "also dropped.",
            "reason",
        )
        self.reconnects = factory.counter(
            "asd_mqtt_reconnects_total", "Reconnections to the MQTT broker."
        )
        self.failures = factory.counter(
            "asd_mqtt_failures_total",
            "Failed or lost connections to the MQTT broker, by reason.",
            "reason",
        )
        self.node_conflict = factory.gauge(
            "asd_mqtt_node_conflict",
            "1 while another monitor has the same node name, 0 while not, NaN without MQTT.",
        )
        self.connected.set(nan)
        self.node_conflict.set(nan)
        for result in MQTT_RESULTS:
            self.messages.labels(result)
        for cause in MQTT_REFUSALS:
            self.refused.labels(cause)
        for reason in MQTT_FAILURES:
            self.failures.labels(reason)
