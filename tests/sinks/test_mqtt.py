"""Delivery guarantees of the MQTT sink, with a real mosquitto."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from asd_monitor.records import LearningProgress, SourceState, State
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import Rig, broker, members, rig
from tests.rig.ports import free_port
from tests.rig.records import event, health, scored_window
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["broker", "rig"]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_every_score_while_connected_arrives_once_and_in_order(
    broker: Mosquitto, rig: Rig, protocol: str, qos: int
) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, protocol=protocol, qos_score=qos)
        for seq in range(500):
            sink.emit(scored_window(seq))
        subscriber.wait_for("/score", 500)
        sink.close()
        subscriber.wait_for("/status", 2)
        scores = subscriber.of("/plant/pump/score")
    assert members(scores, "seq") == members(scores, "window") == list(range(500))
    assert set(members(scores, "replayed")) == {False}
    assert {(message.qos, message.retain) for message in scores} == {(qos, False)}
    assert sink.counts().scores_published == 500
    assert sink.counts().scores_dropped == 0
    assert rig.value("asd_mqtt_messages_total", result="published") == len(subscriber.messages)


def test_events_wait_for_the_broker_and_arrive_in_order(broker: Mosquitto, rig: Rig) -> None:
    with TcpProxy(broker.port) as proxy, Collector(broker.port) as subscriber:
        sink = rig.sink(proxy.port)
        sink.emit(event("before"))
        wait_until(lambda: sink.counts().events_published == 1, "the acknowledgement")
        proxy.interrupt()
        wait_until(lambda: not sink.connected, "the loss")
        for number in range(300):
            sink.emit(event(f"during-{number}"))
        wait_until(
            lambda: rig.value("asd_queue_depth", queue="mqtt_events") == 300, "waiting events"
        )
        proxy.open()
        events = subscriber.wait_for("/event", 301)
        states = subscriber.of("/state")
    expected = ["before", *(f"during-{number}" for number in range(300))]
    assert members(events, "transition_id") == expected
    assert {message.qos for message in events} == {1}
    assert members(states, "event_id")[-1] == "during-299"
    assert sink.counts().events_dropped == 0


def test_a_full_event_queue_drops_the_oldest_and_counts_them(tmp_path: Path, rig: Rig) -> None:
    broker = Mosquitto(tmp_path)
    sink = rig.sink(broker.port, connect=False, event_queue=10)
    for number in range(25):
        sink.emit(event(str(number)))
    wait_until(lambda: sink.counts().events_dropped == 15, "the drops")
    with broker, TcpProxy(broker.port), Collector(broker.port) as subscriber:
        wait_until(lambda: sink.counts().events_published == 10, "the events")
        sink.emit(event("last"))
        subscriber.wait_for("/event")
    assert rig.value("asd_dropped_total", queue="mqtt_events") == 15


def test_retained_messages_are_restored_after_a_broker_without_persistence_restarts(
    broker: Mosquitto, rig: Rig
) -> None:
    sink = rig.sink(broker.port)
    sink.emit(event("e1", State.WARNING))
    sink.emit(health())
    sink.emit(event("e2", State.LEARNING, machine="fan"))
    sink.emit(LearningProgress("fan", 12.0, 300.0))
    sink.emit(health(SourceState.FROZEN, machine="fan"))
    wait_until(lambda: sink.counts().published >= 8, "the messages")
    broker.kill()
    wait_until(lambda: not sink.connected, "the loss")
    broker.start()
    wait_until(lambda: sink.connected, "the connection")
    with Collector(broker.port) as subscriber:
        for machine in ("pump", "fan"):
            for kind in ("state", "health", "availability"):
                subscriber.wait_for(f"plant/{machine}/{kind}")
        (status,) = subscriber.wait_for("plant/status")
        assert status.payload == b"online"
        assert subscriber.of("pump/availability")[0].payload == b"online"
        assert subscriber.of("fan/availability")[0].payload == b"offline"
        assert members(subscriber.of("pump/state"), "state") == ["WARNING"]
        (learning,) = members(subscriber.of("fan/state"), "learning")
        assert (learning["learned_s"], learning["required_s"]) == (12.0, 300.0)


def test_a_clock_that_is_set_after_the_start_corrects_the_retained_state(
    broker: Mosquitto, rig: Rig
) -> None:
    wall_s = [1000.0]  # the clock of a computer that has just been started, without a battery
    sink = MqttSink(
        MqttSettings(host="127.0.0.1", port=broker.port),
        rig.metrics,
        node="plant",
        clock=lambda: wall_s[0],
    )
    rig.sinks.append(sink)
    sink.open()
    wait_until(lambda: sink.connected, "the connection")
    with Collector(broker.port) as subscriber:
        sink.emit(replace(event("e"), captured_at=1000.0))
        subscriber.wait_for("/state")
        wall_s[0] += 1e9
        sink.emit(health())
        states = subscriber.wait_for("/state", 2)
    began = [datetime.fromisoformat(since).timestamp() for since in members(states, "since")]
    assert began == [1000.0, pytest.approx(1e9 + 1000, abs=60)]


def test_the_last_will_is_delivered_when_the_monitor_is_killed(broker: Mosquitto) -> None:
    program = (
        "import sys, time; from prometheus_client import CollectorRegistry\n"
        "from asd_monitor.telemetry.metrics import Metrics\n"
        "from asd_monitor.sinks.mqtt.sink import MqttSink\n"
        "from asd_monitor.sinks.mqtt.settings import MqttSettings\n"
        "settings = MqttSettings(host='127.0.0.1', port=int(sys.argv[1]))\n"
        "MqttSink(settings, Metrics(CollectorRegistry()), node='plant').open(); time.sleep(100)\n"
    )
    with Collector(broker.port) as subscriber:
        monitor = subprocess.Popen([sys.executable, "-c", program, str(broker.port)])
        try:
            assert subscriber.wait_for("plant/status")[0].payload == b"online"
        finally:
            os.kill(monitor.pid, signal.SIGKILL)
            monitor.wait()
        assert subscriber.wait_for("plant/status", 2)[1].payload == b"offline"
    with Collector(broker.port) as late:
        (status,) = late.wait_for("plant/status")
        assert (status.payload, status.retain) == (b"offline", True)


def test_a_clean_end_publishes_offline_after_everything_queued(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port)
        for seq in range(300):
            sink.emit(scored_window(seq))
        sink.emit(event("last"))
        sink.close()
        sink.close()
        subscriber.wait_for("plant/status", 2)
        sink.emit(scored_window(300))
        assert len(subscriber.of("/score")) == 300
        assert subscriber.messages[-1].payload == b"offline"
        assert len(subscriber.of("/event")) == 1
    assert sink.counts().scores_dropped == 1
    assert rig.value("asd_mqtt_connected") == 0


def test_two_monitors_do_not_disconnect_each_other(broker: Mosquitto, rig: Rig) -> None:
    first, second = rig.sink(broker.port), rig.sink(broker.port)
    for seq in range(20):
        first.emit(scored_window(seq))
        second.emit(scored_window(seq))
    wait_until(lambda: first.counts().scores_published == 20, "the first's scores")
    wait_until(lambda: second.counts().scores_published == 20, "the second's scores")
    assert rig.value("asd_mqtt_reconnects_total") == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_the_topic_of_a_refused_message_is_logged(
    tmp_path: Path, rig: Rig, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write asd/plant/status\ntopic write asd/plant/pump/state\n")
    with Mosquitto(tmp_path, f"acl_file {acl}") as broker:
        sink = rig.sink(broker.port, protocol=protocol)
        sink.emit(event("refused"))
        wait_until(lambda: "asd/plant/pump/event" in caplog.text, "the topic in the log")
        if protocol == "5":
            wait_until(lambda: sink.counts().events_dropped == 1, "the refusal")
            wait_until(lambda: sink.connected, "the connection")


def test_the_client_library_is_imported_only_when_a_sink_is_opened() -> None:
    program = (
        "import sys, asd_monitor.sinks.mqtt.sink, asd_monitor.sinks.mqtt.check\n"
        "sys.exit('paho' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_threads_end_with_the_sink(broker: Mosquitto, rig: Rig) -> None:
    before = threading.active_count()
    for port in (broker.port, free_port()):
        sink = rig.sink(port, connect=port == broker.port)
        sink.close()
    assert threading.active_count() == before
