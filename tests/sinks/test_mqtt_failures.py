"""With a broker that is unavailable, slow, frozen or hostile, every message is counted."""

import logging
import socket
import threading
import time
from pathlib import Path

import pytest

from asd_monitor.sinks.mqtt.failures import connect_failure
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import Rig, broker, members, rig
from tests.rig.records import event, scored_window
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["broker", "rig"]


def test_a_client_id_in_use_elsewhere_is_reported(
    broker: Mosquitto, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    sink = rig.sink(broker.port, client_id="press")
    sink.emit(event("one"))
    with Collector(broker.port, client_id="press"):
        hint = "another client has the client_id press"
        wait_until(lambda: hint in caplog.text, "the id in the log")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_every_score_is_received_after_a_broker_outage(
    broker: Mosquitto, rig: Rig, how: str
) -> None:
    with TcpProxy(broker.port) as proxy, Collector(broker.port) as subscriber:
        sink = rig.sink(proxy.port)
        emitted = 0
        for phase in ("up", "down", "back"):
            if phase == "down":
                # This broker stores nothing: what it acknowledged must be delivered before.
                wait_until(lambda: sink.counts().scores_published == 200, "the first scores")
                wait_until(lambda: len(subscriber.of("/score")) >= 200, "their delivery")
                getattr(broker, how)()
                wait_until(lambda: not sink.connected, "the loss")
                proxy.interrupt()
            if phase == "back":
                broker.start()
                wait_until(lambda: subscriber.subscriptions == 2, "the subscriber's return")
                proxy.open()
                wait_until(lambda: sink.connected, "the connection")
            for _ in range(200):
                sink.emit(scored_window(emitted))
                emitted += 1
                time.sleep(0.001)
        wait_until(lambda: sink.counts().scores_published == 600, "all scores")
        sink.close()
        subscriber.wait_for("/status", 2)
        present, late = (members(subscriber.of(kind), "seq") for kind in ("/score", "/backlog"))
    assert {*present, *late} == set(range(emitted))
    assert present == sorted(present)
    assert late == sorted(late)
    assert sink.counts().scores_dropped == 0
    assert rig.value("asd_mqtt_messages_total", result="dropped") == 0
    assert rig.value("asd_mqtt_reconnects_total") == 1


def test_no_score_is_lost_when_the_connection_breaks_under_load(
    broker: Mosquitto, rig: Rig
) -> None:
    with TcpProxy(broker.port) as proxy, Collector(broker.port) as subscriber:
        sink = rig.sink(proxy.port)
        stop = threading.Event()
        emitted = 0

        def emit() -> None:
            nonlocal emitted
            while not stop.wait(0.0005):
                sink.emit(scored_window(emitted))
                emitted += 1

        emitter = threading.Thread(target=emit)
        emitter.start()
        for cuts in range(1, 6):
            before = sink.counts().scores_published
            wait_until(lambda b=before: sink.counts().scores_published > b + 50, "scores")  # type: ignore[misc]
            proxy.interrupt()
            proxy.open()
            wait_until(
                lambda c=cuts: rig.value("asd_mqtt_reconnects_total") >= c,  # type: ignore[misc]
                "the connection",
            )
        stop.set()
        emitter.join()
        wait_until(lambda: sink.counts().scores_published == emitted, "all scores")
        sink.close()
        wait_until(lambda: subscriber.of("/status")[-1].payload == b"offline", "the end")
        seqs = members([*subscriber.of("/score"), *subscriber.of("/backlog")], "seq")
    assert set(seqs) == set(range(emitted))
    assert sink.counts().scores_dropped == 0


def test_a_frozen_broker_is_detected_and_disconnected(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, ack_timeout_s=1.0)
        broker.freeze()
        emitted = 0
        deadline = time.monotonic() + 300
        while sink.connected and time.monotonic() < deadline:
            sink.emit(scored_window(emitted))
            emitted += 1
            time.sleep(0.01)
        assert not sink.connected
        assert rig.value("asd_mqtt_failures_total", reason="timeout") == 1
        wait_until(lambda: "acknowledged" in sink.failure, "its reason")
        sink.emit(scored_window(emitted))
        emitted += 1
        broker.thaw()
        wait_until(lambda: sink.connected, "the connection")
        sink.emit(scored_window(emitted))
        emitted += 1
        wait_until(lambda: sink.counts().scores_published == emitted, "all scores")
        sink.close()
        wait_until(lambda: subscriber.of("/status")[-1].payload == b"offline", "the end")
        seqs = members([*subscriber.of("/score"), *subscriber.of("/backlog")], "seq")
    assert set(seqs) == set(range(emitted))
    assert sink.counts().scores_dropped == 0


def test_a_broker_that_starts_later_is_connected_to(tmp_path: Path, rig: Rig) -> None:
    broker = Mosquitto(tmp_path)
    sink = rig.sink(broker.port, connect=False)
    wait_until(lambda: sink.failure != "", "the first attempt")
    assert "connection refused" in sink.failure
    for seq in range(5):
        sink.emit(scored_window(seq))
    sink.emit(event("early"))
    with broker:
        wait_until(lambda: sink.counts().events_published == 1, "the event")
        wait_until(lambda: sink.counts().scores_published == 5, "the scores")
        assert rig.value("asd_mqtt_connected") == 1
        assert sink.failure == ""


def test_a_host_without_an_address_is_reported_once_and_retried(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="asd_monitor")
    sink = rig.sink(1883, connect=False, host="no-such..host")
    wait_until(lambda: rig.value("asd_mqtt_failures_total", reason="dns") >= 3, "three attempts")
    assert "cannot be resolved" in sink.failure
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns", "cannot be resolved"),
        (TimeoutError(), "unreachable", "no answer within 5 s"),
        (ConnectionRefusedError(), "unreachable", "connection refused"),
        (OSError(113, "No route to host"), "unreachable", "No route to host"),
    ],
)
def test_why_a_connection_fails_is_explained(error: Exception, kind: str, reason: str) -> None:
    failure = connect_failure(error, "broker:1883")
    assert failure.kind == kind
    assert failure.reason.startswith("broker:1883: ")
    assert reason in failure.reason


def test_emit_returns_although_the_broker_never_reads(rig: Rig) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        sink = rig.sink(deaf.getsockname()[1], connect=False)
        for seq in range(20_000):
            sink.emit(scored_window(seq))
        sink.close()
    assert sink.counts().scores_dropped == 20_000


def test_a_slow_broker_gets_the_newest_scores_and_the_older_ones_as_the_backlog(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, outbox={"replay_per_s": 10_000})
        broker.freeze()
        for seq in range(3000):
            sink.emit(scored_window(seq))
        wait_until(lambda: rig.value("asd_queue_depth", queue="mqtt_scores") == 3000, "the queue")
        broker.thaw()
        wait_until(lambda: sink.counts().scores_published == 3000, "all scores")
        sink.close()
        subscriber.wait_for("/status", 2)
        present = members(subscriber.of("/score"), "window")
        late = members(subscriber.of("/backlog"), "window")
        flags = members(subscriber.of("/backlog"), "replayed")
    assert (present, late) == (sorted(present), sorted(late))
    assert present[-1000:] == list(range(2000, 3000))
    assert sorted(present + late) == list(range(3000))
    assert set(flags) == {True}


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
        wait_until(lambda: sink.counts().events_published == 1, "the event")


@pytest.mark.real_time
def test_keepalive_detects_a_dead_connection_while_there_is_nothing_to_send(
    broker: Mosquitto, rig: Rig
) -> None:
    sink = rig.sink(broker.port, keepalive_s=5, ack_timeout_s=300.0)
    wait_until(lambda: sink.counts().published == 2, "status and info")
    broker.freeze()
    wait_until(lambda: not sink.connected, "the loss")
    wait_until(lambda: "eep alive" in sink.failure, "its reason")
    broker.thaw()
    wait_until(lambda: sink.connected, "the connection")
