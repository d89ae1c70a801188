import gc
import socket
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.demo.broker import EmbeddedBroker
from asd_monitor.errors import ConfigError
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import Collector, wait_until
from tests.rig.records import event, scored_window


def test_carries_what_the_sink_publishes_to_a_subscriber() -> None:
    with EmbeddedBroker() as broker, Collector(broker.port) as subscriber:
        settings = MqttSettings(host=broker.host, port=broker.port)
        sink = MqttSink(settings, Metrics(CollectorRegistry()), node="plant")
        sink.open()
        wait_until(lambda: sink.connected, "the connection")
        for seq in range(50):
            sink.emit(scored_window(seq))
        sink.emit(event("e1"))
        assert len(subscriber.wait_for("/score", 50)) == 50
        assert len(subscriber.wait_for("/event", 1)) == 1
        sink.close()
        assert subscriber.wait_for("/status", 2)[-1].payload == b"offline"


def test_a_late_subscriber_gets_the_retained_messages() -> None:
    with EmbeddedBroker() as broker:
        settings = MqttSettings(host=broker.host, port=broker.port)
        sink = MqttSink(settings, Metrics(CollectorRegistry()), node="plant")
        sink.open()
        wait_until(lambda: sink.counts().published > 0, "the status")
        with Collector(broker.port) as subscriber:
            # amqtt may send a message twice: at a login it also sends the retained messages that
            # match the subscriptions of other clients.
            received = subscriber.wait_for("/status")
            assert {(status.payload, status.retain) for status in received} == {(b"online", True)}
        sink.close()


def test_stops_its_thread_and_frees_its_port() -> None:
    before = set(threading.enumerate())
    with EmbeddedBroker() as broker, Collector(broker.port):
        pass
    assert set(threading.enumerate()) <= before
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((broker.host, broker.port))


def test_stops_though_clients_are_connected() -> None:
    with EmbeddedBroker() as broker:
        settings = MqttSettings(host=broker.host, port=broker.port)
        sink = MqttSink(settings, Metrics(CollectorRegistry()), node="plant")
        sink.open()
        wait_until(lambda: sink.counts().published > 0, "the status")
    wait_until(lambda: not sink.connected, "the loss")
    sink.close()
    gc.collect()


def test_a_missing_package_is_reported_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "amqtt", None)
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(ConfigError, match=r"pip install 'asd-monitor\[demo\]'"), EmbeddedBroker():
        pass
