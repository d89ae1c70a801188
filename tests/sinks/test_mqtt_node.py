"""The topics of a node show what its monitor has, and no other monitor uses them unnoticed."""

import json
import logging
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import publish

from asd_monitor.records import AlarmStatus, MachineAlarm, State
from asd_monitor.sinks.mqtt.connection import Connection
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.node_info import NodeInfo, make_host_id, parse_info
from asd_monitor.sinks.mqtt.node_watch import FORGET_S, GRACE_S, NodeWatch
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.topics import Topics
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import Rig, broker, members, rig
from tests.rig.records import event, health
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["broker", "rig"]

KINDS = ("availability", "state", "health", "alarm")
OTHER = NodeInfo("plant", "other", "press-7", "feed", "asd-other", 0.0, ("fan",))


def retain(port: int, topics: list[str], payload: str = "online") -> None:
    """Publish retained messages, as an earlier run of the monitor would have left them."""
    publish.multiple([(topic, payload, 1, True) for topic in topics], "127.0.0.1", port)


def retained_topics(port: int) -> set[str]:
    """Return the topics with a retained message."""
    marker = "marker/of-the-test"
    retain(port, [marker])
    with Collector(port) as late:
        late.wait_for(marker)
        return {message.topic for message in late.messages} - {marker}


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_retained_messages_of_machines_that_the_node_no_longer_has_are_cleared(
    broker: Mosquitto, rig: Rig, protocol: str
) -> None:
    removed = [f"asd/plant/{machine}/{kind}" for machine in ("old", "Lüfter 2") for kind in KINDS]
    others = ["asd/other-node/old/state", "site/asd/plant/old/state", "asd/plant/own-notes"]
    retain(broker.port, [*removed, *others])
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, protocol=protocol)
        sink.emit(event("e", State.NORMAL))
        sink.emit(health())
        sink.emit(MachineAlarm("pump", AlarmStatus.NONE, 0.0))
        wait_until(
            lambda: {m.topic for m in subscriber.messages if not m.payload} == set(removed),
            "the cleared topics",
        )
    own = {f"asd/plant/pump/{kind}" for kind in KINDS} | {"asd/plant/status", "asd/plant/info"}
    assert retained_topics(broker.port) == own | set(others)


def test_machines_listed_by_an_earlier_run_are_cleared_as_well(broker: Mosquitto, rig: Rig) -> None:
    retain(broker.port, ["asd/plant/info"], replace(OTHER, machines=("gone",)).encode().decode())
    with Collector(broker.port) as subscriber:
        rig.sink(broker.port)
        cleared = [subscriber.wait_for(f"gone/{kind}") for kind in KINDS]
        assert all(message.payload == b"" for messages in cleared for message in messages)
        assert members(subscriber.of("plant/info"), "machines")[-1] == []
    assert rig.value("asd_mqtt_node_conflict") == 0


def test_two_monitors_of_one_node_notice_each_other_and_the_other_stays_online(
    broker: Mosquitto, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    second_rig = Rig()
    with caplog.at_level(logging.WARNING), Collector(broker.port) as subscriber:
        first, second = rig.sink(broker.port), second_rig.sink(broker.port)
        first.emit(health(machine="pump"))
        second.emit(health(machine="fan"))
        for monitor in (rig, second_rig):
            wait_until(lambda: monitor.value("asd_mqtt_node_conflict") == 1, "both notice")  # noqa: B023
        expected = ("same node name 'plant'", "on this computer")
        wait_until(
            lambda: sum(all(text in r.message for text in expected) for r in caplog.records) == 2,
            "two warnings",
        )
        second.close()
        wait_until(lambda: rig.value("asd_mqtt_node_conflict") == 0, "the end of the other")
        subscriber.wait_for("fan/availability", 2)  # its own, and cleared
        wait_until(lambda: subscriber.of("plant/status")[-1].payload == b"online", "online again")
    assert {"asd/plant/status", "asd/plant/pump/health"} <= retained_topics(broker.port)


def test_an_old_last_will_does_not_leave_the_node_offline(broker: Mosquitto, rig: Rig) -> None:
    rig.sink(broker.port)
    with Collector(broker.port) as subscriber:
        subscriber.wait_for("plant/status")
        retain(broker.port, ["asd/plant/status"], "offline")
        assert [m.payload for m in subscriber.wait_for("plant/status", 3)] == [
            b"online",
            b"offline",
            b"online",
        ]


def test_a_machine_that_another_client_clears_is_published_again(
    broker: Mosquitto, rig: Rig
) -> None:
    sink = rig.sink(broker.port)
    sink.emit(health())
    with Collector(broker.port) as subscriber:
        subscriber.wait_for("pump/availability")
        retain(broker.port, ["asd/plant/pump/availability"], "")
        payloads = [m.payload for m in subscriber.wait_for("pump/availability", 3)]
    assert payloads == [b"online", b"", b"online"]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_forbids_reading_receives_everything(
    tmp_path: Path, rig: Rig, protocol: str
) -> None:
    (tmp_path / "acl").write_text("topic write asd/plant/#\nuser all\ntopic readwrite #\n")
    (tmp_path / "acl").chmod(0o600)
    with Mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
        sink = rig.sink(broker.port, protocol=protocol)
        for number in range(20):
            sink.emit(event(str(number)))
        wait_until(lambda: sink.counts().events_published == 20, "the events")
    assert sink.counts().events_dropped == 0


@pytest.mark.parametrize(
    "payload", ["[" * 10_000, "{}", "\x00", '{"machines": [1]}', "x" * 300_000]
)
def test_foreign_payloads_below_the_node_are_ignored(
    broker: Mosquitto, rig: Rig, payload: str
) -> None:
    sink = rig.sink(broker.port)
    retain(broker.port, ["asd/plant/info", "asd/plant/pump/availability"], payload)
    with Collector(broker.port) as subscriber:
        sink.emit(event("after"))
        subscriber.wait_for("pump/event")
    assert sink.connected
    assert rig.value("asd_mqtt_failures_total", reason="lost") == 0
    assert rig.value("asd_mqtt_node_conflict") == 0


class Watched:
    """A watch of the node `plant`, which has a pump, and what it asks for."""

    def __init__(self) -> None:
        self.republished: list[str] = []
        self.conflicts: list[bool] = []
        self.own = NodeInfo("plant", "own", "press-7", "f00d", "asd-own", 0.0, ("pump",))
        self.watch = NodeWatch(
            Topics("asd", "plant"),
            lambda: self.own,
            lambda: ["pump"],
            self.republished.append,
            self.conflicts.append,
        )

    def receive(self, topic: str, payload: bytes, at_s: float, *, retained: bool = False) -> None:
        self.watch.receive(Incoming(f"asd/plant/{topic}", payload, retained), at_s)

    def due(self, at_s: float) -> list[tuple[str, bytes]]:
        messages = iter(lambda: self.watch.next(at_s), None)
        return [(m.topic.removeprefix("asd/plant/"), m.payload) for m in messages if m]


def test_the_machines_of_another_monitor_that_answers_are_not_cleared() -> None:
    watched = Watched()
    watched.watch.login(0.0)
    watched.receive("fan/state", b"{}", 0.1, retained=True)
    watched.receive("old/state", b"{}", 0.1, retained=True)
    watched.receive("info", OTHER.encode(), 0.2, retained=True)
    watched.receive("info", OTHER.encode(), 0.3)
    cleared = {topic for topic, payload in watched.due(GRACE_S + 0.1) if not payload}
    assert cleared == {f"old/{kind}" for kind in KINDS}
    assert watched.conflicts == [True]


def test_info_found_after_a_reconnection_is_of_another_monitor() -> None:
    watched = Watched()
    watched.watch.login(0.0)
    watched.watch.login(100.0)
    watched.receive("info", replace(OTHER, client_id="asd-own").encode(), 100.1, retained=True)
    assert watched.conflicts == [True]


def test_two_monitors_do_not_answer_each_other_for_ever() -> None:
    watched = Watched()
    watched.watch.login(0.0)
    for at_s in range(1, 50):
        watched.receive("info", OTHER.encode(), float(at_s))
    assert [topic for topic, _ in watched.due(50.0)] == ["info", "info"]


def test_another_monitor_that_no_longer_answers_is_forgotten() -> None:
    watched = Watched()
    watched.watch.login(0.0)
    watched.receive("info", OTHER.encode(), 1.0)
    probes = [at_s for at_s in range(5, 500, 5) if ("info", watched.own.encode()) in
              watched.due(float(at_s))]  # fmt: skip
    assert len(probes) == 5  # the answer, three attempts, and the last
    assert watched.conflicts == [True, False]
    assert probes[-1] > FORGET_S


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["node", "instance", "host", "host_id", "client_id", "machines"]), inner
    ),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_payload_is_an_info_or_none(payload: bytes) -> None:
    info = parse_info(payload)
    assert info is None or info.instance.isprintable()


def test_computers_with_one_machine_id_are_distinguished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef\n")
    first = make_host_id(path)
    assert first == make_host_id(path)
    monkeypatch.setattr("uuid.getnode", lambda: 0x02_42_AC_11_00_02)
    assert make_host_id(path) != first


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_two_monitors_with_one_client_id_report_it_as_the_cause(
    broker: Mosquitto, rig: Rig, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            rig.sink(broker.port, connect=False, client_id="twin", protocol=protocol)
        wait_until(
            lambda: rig.value("asd_mqtt_failures_total", reason="taken_over") > 0, "the cause"
        )
    assert any("Both have the client_id 'twin'" in record.message for record in caplog.records)


def test_a_session_that_was_taken_over_is_named_if_the_broker_says_so() -> None:
    settings = MqttSettings(host="127.0.0.1", protocol="5")
    connack, disconnect = b"\x20\x03\x00\x00\x00", b"\xe0\x01\x8e"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connection = Connection(settings.model_copy(update={"port": port}), "twin", None)
        answer = threading.Thread(target=_answer_login, args=(server, connack + disconnect))
        answer.start()
        connection.start()
        while connection.failure is None:
            connection.loop_once()
        answer.join()
        connection.stop()
    assert connection.failure.kind == "taken_over"
    assert "client_id, twin" in connection.failure.reason


def _answer_login(server: socket.socket, answer: bytes) -> None:
    client, _ = server.accept()
    with client:
        client.recv(1000)
        client.sendall(answer)


def test_an_interrupted_connection_of_one_monitor_is_no_conflict(
    broker: Mosquitto, rig: Rig
) -> None:
    with TcpProxy(broker.port) as proxy:
        sink = rig.sink(proxy.port)
        for _ in range(2):
            proxy.interrupt()
            wait_until(lambda: not sink.connected, "the loss")
            proxy.open()
            wait_until(lambda: sink.connected, "the connection")
        sink.emit(event("e"))
        wait_until(lambda: sink.counts().events_published == 1, "the event")
    assert rig.value("asd_mqtt_node_conflict") == 0
