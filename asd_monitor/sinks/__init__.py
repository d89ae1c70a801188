"""Sinks receive the results of the monitor.

To add a sink, write its settings and its class in a module of this package, and add a line to
:data:`SINKS`. The configuration then has a section of that name, whose errors are reported with
their location; document it in ``configs/monitor.yaml``. Pages of the HTTP endpoint are in
:mod:`asd_monitor.sinks.prometheus.pages`.
"""

from collections.abc import Callable
from typing import Any, Protocol

from pydantic import BaseModel

from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.history.settings import HistorySettings
from asd_monitor.records import Record
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.evidence import build_evidence
from asd_monitor.sinks.history import HistorySink
from asd_monitor.sinks.log import LogSettings, LogSink
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.sinks.notify.settings import NotifySettings
from asd_monitor.sinks.notify.sink import NotifySink
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink


class Sink(Protocol):
    """Receive results. Called from the inference thread, so ``emit`` must never block.

    A sink that writes to a network or a disk owns a thread and a bounded queue; records that do
    not fit are dropped and counted.
    """

    def open(self) -> None:
        """Start the sink's thread or server; raise SinkError only for unusable settings."""

    def emit(self, record: Record) -> None:
        """Accept a record; return at once, whatever the other end does."""

    def close(self) -> None:
        """Deliver what can still be delivered within a few seconds; may be called twice."""


SINKS: dict[str, tuple[type[BaseModel], Callable[[Any, SinkContext], Sink]]] = {
    "log": (LogSettings, LogSink.build),
    "prometheus": (PrometheusSettings, PrometheusSink.build),
    "history": (HistorySettings, HistorySink.build),
    "evidence": (EvidenceSettings, build_evidence),
    "notify": (NotifySettings, NotifySink.build),
    "mqtt": (MqttSettings, MqttSink.build),
}
"""Settings and builder of each sink. Records are emitted in this order. MQTT is last: a score wakes
its thread, which then competes with the inference thread for the interpreter.

A sink is on unless its key is null in the settings; one with required settings is off until
they are given.
"""
