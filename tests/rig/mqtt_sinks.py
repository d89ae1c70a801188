"""MQTT sinks with their metrics, and a broker for them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import Mosquitto, Received, wait_until

FAST_RECONNECT: dict[str, Any] = {
    "host": "127.0.0.1",
    "reconnect_min_s": 0.05,
    "reconnect_max_s": 0.1,
}


class Rig:
    """The sinks of a test, which closes them at its end, and their metrics."""

    def __init__(self) -> None:
        self.sinks: list[MqttSink] = []
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def sink(
        self,
        port: int,
        *,
        connect: bool = True,
        outbox_path: Path | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> MqttSink:
        sink = MqttSink(
            MqttSettings(port=port, **(FAST_RECONNECT | settings)),
            self.metrics,
            node="plant",
            outbox_path=outbox_path,
        )
        self.sinks.append(sink)
        sink.open()
        if connect:
            wait_until(lambda: sink.connected, "the connection")
        return sink

    def value(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    for sink in rig.sinks:
        sink.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def members(messages: list[Received], name: str) -> list[Any]:
    """Return one member of each payload."""
    return [json.loads(message.payload)[name] for message in messages]
