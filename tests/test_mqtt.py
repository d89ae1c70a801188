"""What the MQTT sink promises, against a real mosquitto."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.metrics import Metrics
from asd_monitor.records import LearningProgress, SourceState, State
from asd_monitor.sinks.mqtt import MqttSink
from asd_monitor.sinks.mqtt_settings import MqttSettings
from tests.rig.gate import Gate
from tests.rig.mosquitto import Collector, Mosquitto, Received, free_port, wait_until
from tests.rig.records import event, health, score

QUICK: dict[str, Any] = {"host": "127.0.0.1", "reconnect_min_s": 0.05, "reconnect_max_s": 0.1}


class Rig:
    """Sinks of a test, closed at its end, and their metrics."""

    def __init__(self) -> None:
        self.sinks: list[MqttSink] = []
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def sink(self, port: int, *, connect: bool = True, **settings: Any) -> MqttSink:  # noqa: ANN401
        sink = MqttSink(MqttSettings(port=port, **(QUICK | settings)), self.metrics, node="plant")
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
    return [json.loads(each.payload)[name] for each in messages]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_every_score_while_connected_arrives_once_and_in_order(
    broker: Mosquitto, rig: Rig, protocol: str, qos: int
) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, protocol=protocol, qos_score=qos)
        for seq in range(500):
            sink.emit(score(seq))
        subscriber.wait_for("/score", 500)
        sink.close()
        subscriber.wait_for("/status", 2)
        scores = subscriber.of("/plant/pump/score")
    assert members(scores, "seq") == list(range(500))
    assert {(each.qos, each.retain) for each in scores} == {(qos, False)}
    assert sink.counts().scores_published == 500
    assert sink.counts().scores_dropped == 0
    assert rig.value("asd_mqtt_messages_total", result="published") == len(subscriber.messages)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_received_and_dropped_scores_add_up_over_a_broker_outage(
    broker: Mosquitto, rig: Rig, how: str
) -> None:
    with Gate(broker.port) as gate, Collector(broker.port) as subscriber:
        sink = rig.sink(gate.port)
        emitted = 0
        for phase in ("up", "down", "back"):
            if phase == "down":
                getattr(broker, how)()
                wait_until(lambda: not sink.connected, "the loss")
                gate.cut()
            if phase == "back":
                broker.start()
                wait_until(lambda: subscriber.subscriptions == 2, "the subscriber's return")
                gate.open()
                wait_until(lambda: sink.connected, "the connection")
            for _ in range(200):
                sink.emit(score(emitted))
                emitted += 1
                time.sleep(0.001)
        sink.close()
        subscriber.wait_for("/status", 2)
        times = Counter(members(subscriber.of("/score"), "seq"))
    counts = sink.counts()
    assert len(times) + counts.scores_dropped == emitted == 600
    assert counts.scores_dropped >= 200
    assert counts.scores_published == len(times)
    assert rig.value("asd_dropped_total", queue="mqtt_scores") == counts.scores_dropped
    assert rig.value("asd_mqtt_messages_total", result="dropped") == counts.scores_dropped
    assert rig.value("asd_mqtt_reconnects_total") == 1


def test_scores_add_up_when_the_line_is_cut_under_load(broker: Mosquitto, rig: Rig) -> None:
    with Gate(broker.port) as gate, Collector(broker.port) as subscriber:
        sink = rig.sink(gate.port)
        stop = threading.Event()
        emitted = 0

        def emit() -> None:
            nonlocal emitted
            while not stop.wait(0.0005):
                sink.emit(score(emitted))
                emitted += 1

        emitter = threading.Thread(target=emit)
        emitter.start()
        for cuts in range(1, 6):
            before = sink.counts().scores_published
            wait_until(lambda b=before: sink.counts().scores_published > b + 50, "scores")  # type: ignore[misc]
            gate.cut()
            gate.open()
            wait_until(
                lambda c=cuts: rig.value("asd_mqtt_reconnects_total") >= c,  # type: ignore[misc]
                "the connection",
            )
        stop.set()
        emitter.join()
        sink.close()
        wait_until(lambda: subscriber.of("/status")[-1].payload == b"offline", "the end")
        times = Counter(members(subscriber.of("/score"), "seq"))
    counts = sink.counts()
    assert counts.scores_published + counts.scores_dropped == emitted
    assert len(times) == counts.scores_published


def test_events_wait_for_the_broker_and_arrive_in_order(broker: Mosquitto, rig: Rig) -> None:
    with Gate(broker.port) as gate, Collector(broker.port) as subscriber:
        sink = rig.sink(gate.port)
        sink.emit(event("before"))
        subscriber.wait_for("/event")
        gate.cut()
        wait_until(lambda: not sink.connected, "the loss")
        for number in range(300):
            sink.emit(event(f"during-{number}"))
        assert rig.value("asd_queue_depth", queue="mqtt_events") == 300
        gate.open()
        events = subscriber.wait_for("/event", 301)
        states = [each for each in subscriber.messages if each.topic.endswith("/state")]
    expected = ["before", *(f"during-{number}" for number in range(300))]
    assert members(events, "event_id") == expected
    assert {each.qos for each in events} == {1}
    assert members(states, "event_id")[-1] == "during-299"
    assert sink.counts().events_dropped == 0


def test_a_full_event_queue_gives_up_the_oldest_and_counts_them(tmp_path: Path, rig: Rig) -> None:
    broker = Mosquitto(tmp_path)
    sink = rig.sink(broker.port, connect=False, event_queue=10)
    for number in range(25):
        sink.emit(event(str(number)))
    assert sink.counts().events_dropped == 15
    with broker, Gate(broker.port), Collector(broker.port) as subscriber:
        wait_until(lambda: sink.counts().events_published == 10, "the events")
        sink.emit(event("last"))
        subscriber.wait_for("/event")
    assert rig.value("asd_dropped_total", queue="mqtt_events") == 15


def test_retained_messages_stand_again_after_a_broker_without_memory_restarts(
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
        assert members(subscriber.of("fan/state"), "learning") == [
            {"learned_s": 12.0, "wanted_s": 300.0, "fitting": False}
        ]


def test_the_last_will_is_delivered_when_the_monitor_is_killed(broker: Mosquitto) -> None:
    program = (
        "import sys, time; from prometheus_client import CollectorRegistry\n"
        "from asd_monitor.metrics import Metrics; from asd_monitor.sinks.mqtt import MqttSink\n"
        "from asd_monitor.sinks.mqtt_settings import MqttSettings\n"
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


def test_a_clean_end_says_offline_after_all_that_waited(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port)
        for seq in range(300):
            sink.emit(score(seq))
        sink.emit(event("last"))
        sink.close()
        sink.close()
        subscriber.wait_for("plant/status", 2)
        sink.emit(score(300))
        assert len(subscriber.of("/score")) == 300
        assert subscriber.messages[-1].payload == b"offline"
        assert len(subscriber.of("/event")) == 1
    assert sink.counts().scores_dropped == 1
    assert rig.value("asd_mqtt_connected") == 0


def test_a_frozen_broker_is_noticed_and_left(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, ack_timeout_s=1.0)
        broker.freeze()
        emitted = 0
        deadline = time.monotonic() + 40
        while sink.connected and time.monotonic() < deadline:
            sink.emit(score(emitted))
            emitted += 1
            time.sleep(0.01)
        assert not sink.connected
        assert rig.value("asd_mqtt_failures_total", reason="timeout") == 1
        assert "acknowledged" in sink.failure
        sink.emit(score(emitted))
        emitted += 1
        broker.thaw()
        wait_until(lambda: sink.connected, "the connection", 60)
        sink.emit(score(emitted))
        emitted += 1
        sink.close()
        wait_until(lambda: subscriber.of("/status")[-1].payload == b"offline", "the end")
        times = Counter(members(subscriber.of("/score"), "seq"))
    counts = sink.counts()
    assert counts.scores_published + counts.scores_dropped == emitted
    assert len(times) == counts.scores_published


def test_starts_without_a_broker_and_finds_it_when_it_comes(tmp_path: Path, rig: Rig) -> None:
    broker = Mosquitto(tmp_path)
    sink = rig.sink(broker.port, connect=False)
    wait_until(lambda: sink.failure != "", "the first attempt")
    assert "nothing listens there" in sink.failure
    for seq in range(5):
        sink.emit(score(seq))
    sink.emit(event("early"))
    with broker:
        wait_until(lambda: sink.counts().events_published == 1, "the event")
        assert sink.counts().scores_dropped == 5
        assert rig.value("asd_mqtt_connected") == 1
        assert sink.failure == ""


def test_a_host_without_an_address_is_told_once_and_tried_again(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="asd_monitor")
    sink = rig.sink(1883, connect=False, host="no-such-host.invalid")
    wait_until(
        lambda: rig.value("asd_mqtt_failures_total", reason="dns") >= 3, "three attempts", 60
    )
    assert "no address is known for this host" in sink.failure
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == 1


def test_emit_returns_though_the_far_end_never_reads(rig: Rig) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        sink = rig.sink(deaf.getsockname()[1], connect=False)
        for seq in range(20_000):
            sink.emit(score(seq))
        sink.close()
    assert sink.counts().scores_dropped == 20_000


def test_a_slow_broker_gets_the_newest_scores(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, score_queue=50)
        broker.freeze()
        for seq in range(1000):
            sink.emit(score(seq))
        broker.thaw()
        sink.close()
        subscriber.wait_for("/status", 2)
        seqs = members(subscriber.of("/score"), "seq")
    assert seqs == sorted(set(seqs))
    assert seqs[-50:] == list(range(950, 1000))
    assert len(seqs) + sink.counts().scores_dropped == 1000


HOSTILE = {
    "a topic that is no text": b"\x30\x06\x00\x02\xff\xfeab",
    "a reserved packet type": b"\xf0\x00",
    "a length without end": b"\x30\xff\xff\xff\xff\xff\xff",
    "an acknowledgement of nothing": b"\x40\x02\x12\x34",
    "an acknowledgement cut short": b"\x40\x01\x00",
    "a publish cut short": b"\x30\x01\x00",
    "a subscription's answer": b"\x90\x03\x00\x01\x80",
    "a command for a broker": b"\x82\x06\x00\x01\x00\x01#\x00",
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_hostile_traffic_does_not_end_the_sink(rig: Rig, attack: bytes, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    with socket.create_server(("127.0.0.1", broker.port)) as hostile:
        sink = rig.sink(broker.port, connect=False, ack_timeout_s=1.0)
        near, _ = hostile.accept()
        near.recv(1000)
        near.sendall(b"\x20\x02\x00\x00" + attack)
        wait_until(lambda: sink.connected or sink.failure != "", "the login")
    sink.emit(event("survivor"))
    near.close()
    with broker:
        wait_until(lambda: sink.counts().events_published == 1, "the event", 60)


def test_two_monitors_do_not_push_each_other_out(broker: Mosquitto, rig: Rig) -> None:
    first, second = rig.sink(broker.port), rig.sink(broker.port)
    for seq in range(20):
        first.emit(score(seq))
        second.emit(score(seq))
    wait_until(lambda: first.counts().scores_published == 20, "the first's scores")
    wait_until(lambda: second.counts().scores_published == 20, "the second's scores")
    assert rig.value("asd_mqtt_reconnects_total") == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_what_a_broker_refuses_is_told_by_its_topic(
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
        "import sys, asd_monitor.sinks.mqtt, asd_monitor.sinks.mqtt_check\n"
        "sys.exit('paho' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_keepalive_finds_a_dead_line_while_there_is_nothing_to_send(
    broker: Mosquitto, rig: Rig
) -> None:
    sink = rig.sink(broker.port, keepalive_s=5, ack_timeout_s=300.0)
    wait_until(lambda: sink.counts().published == 1, "the status")
    broker.freeze()
    wait_until(lambda: not sink.connected, "the loss", 60)
    assert "eep alive" in sink.failure
    broker.thaw()
    wait_until(lambda: sink.connected, "the connection", 60)


def test_threads_end_with_the_sink(broker: Mosquitto, rig: Rig) -> None:
    before = threading.active_count()
    for port in (broker.port, free_port()):
        sink = rig.sink(port, connect=port == broker.port)
        sink.close()
    assert threading.active_count() == before
