"""The sinks that a configuration can name; each is made as ``(settings, metrics, node=...)``."""

from asd_monitor.sinks.log import LogSink
from asd_monitor.sinks.mqtt import MqttSink

SINKS: dict[str, type[LogSink] | type[MqttSink]] = {"log": LogSink, "mqtt": MqttSink}
