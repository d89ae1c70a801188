"""The series of the MQTT connection."""

from math import nan

from asd_monitor.telemetry.series_factory import SeriesFactory

MQTT_RESULTS = ("published", "dropped")
MQTT_FAILURES = (
    "settings", "dns", "unreachable", "tls", "login", "lost", "timeout", "taken_over",
)  # fmt: skip

MQTT_REFUSALS = ("size", "topic", "other")
OUTBOX_DROPS = ("full", "memory", "refused", "ended", "error")


SPARKPLUG_COMMANDS = ("rebirth", "ignored")


class SparkplugSeries:
    """The state of the Sparkplug edge node."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.online = factory.gauge(
            "asd_sparkplug_online",
            "1 while the Sparkplug edge node is born, 0 while it is not, NaN without Sparkplug.",
        )
        self.births = factory.counter(
            "asd_sparkplug_births_total", "Births of the Sparkplug edge node."
        )
        self.commands = factory.counter(
            "asd_sparkplug_commands_total",
            "Commands to the Sparkplug edge node, by what they were.",
            "command",
        )
        self.online.set(nan)
        for command in SPARKPLUG_COMMANDS:
            self.commands.labels(command)


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
        self.outbox_size = factory.gauge(
            "asd_mqtt_outbox_size_bytes", "Size of the outbox's database; NaN if it is off."
        )
        self.outbox_oldest_age = factory.gauge(
            "asd_mqtt_outbox_oldest_age_seconds",
            "Time for which the oldest score or event has waited for the broker; 0 if none waits, "
            "NaN without MQTT.",
        )
        self.outbox_degraded = factory.gauge(
            "asd_mqtt_outbox_degraded",
            "1 while scores and events are kept in memory only, because the outbox cannot be "
            "written, 0 while it is, NaN if it is off.",
        )
        self.outbox_dropped = factory.counter(
            "asd_mqtt_outbox_dropped_total", "Scores and events that were not sent, by reason.",
            "reason",
        )  # fmt: skip
        self.outbox_set_aside = factory.counter(
            "asd_mqtt_outbox_set_aside_total",
            "Databases of the outbox that were set aside, damaged or of a newer program.",
        )
        for gauge in (self.outbox_size, self.outbox_oldest_age, self.outbox_degraded):
            gauge.set(nan)
        for reason in OUTBOX_DROPS:
            self.outbox_dropped.labels(reason)
        self.connected.set(nan)
        self.node_conflict.set(nan)
        for result in MQTT_RESULTS:
            self.messages.labels(result)
        for cause in MQTT_REFUSALS:
            self.refused.labels(cause)
        for reason in MQTT_FAILURES:
            self.failures.labels(reason)
