"""Broker and metrics port: reachable, permitted and free."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from paho.mqtt import publish

from asd_monitor.doctor import delivery
from asd_monitor.doctor.finding import Status
from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.node_info import NodeInfo, make_host_id
from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import Metrics
from tests.doctor.findings import make_context
from tests.rig.mosquitto import Collector, Mosquitto
from tests.rig.ports import free_port
from tests.rig.sparkplug import needs_protobuf


def test_a_broker_that_accepts_messages_is_ok(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        findings = delivery.check_mqtt(
            make_context(mqtt={"host": "127.0.0.1", "port": broker.port})
        )
    assert [finding.check for finding in findings] == [
        "mqtt dns",
        "mqtt tcp",
        "mqtt login",
        "mqtt publish",
        "mqtt node",
    ]
    assert {finding.status for finding in findings} == {Status.OK}


@needs_protobuf
def test_the_edge_node_of_sparkplug_is_named(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "sparkplug": {"group": "site1"}}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt sparkplug", Status.OK)
    assert "edge node site1/" in finding.message


def test_sparkplug_without_its_package_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload_class.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with Mosquitto(tmp_path) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "sparkplug": {}}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt sparkplug", Status.FAILED)
    assert "asd-monitor[sparkplug]" in finding.message


def test_an_absent_broker_fails() -> None:
    options = {"host": "127.0.0.1", "port": free_port()}
    finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status, finding.exit_code) == ("mqtt tcp", Status.FAILED, 6)
    assert finding.hint


def test_a_broker_that_is_not_named_is_not_looked_for() -> None:
    (finding,) = delivery.check_mqtt(make_context())
    assert finding.status is Status.OK
    assert "no broker is named" in finding.message


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("option", ["max_packet_size", "message_size_limit"])
def test_a_broker_that_refuses_messages_of_full_size_fails(
    tmp_path: Path, option: str, protocol: str
) -> None:
    with Mosquitto(tmp_path, f"{option} 500") as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "protocol": protocol}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt publish", Status.FAILED)
    assert option in finding.hint


def test_a_user_who_may_not_read_is_warned_about(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write #\n")
    with Mosquitto(tmp_path, f"acl_file {acl}") as broker:
        findings = delivery.check_mqtt(
            make_context(mqtt={"host": "127.0.0.1", "port": broker.port})
        )
    publishing = next(finding for finding in findings if finding.check == "mqtt publish")
    assert publishing.status is Status.WARNING
    assert "read" in publishing.hint


@pytest.mark.parametrize(
    ("host_id", "status"), [("feed", Status.WARNING), (make_host_id(), Status.OK)]
)
def test_another_computer_with_the_same_node_name_is_warned_about(
    tmp_path: Path, host_id: str, status: Status
) -> None:
    info = NodeInfo("plant", "other", "press-7", host_id, "asd-1", 0.0, ("fan",))
    with Mosquitto(tmp_path) as broker:
        retained = [("asd/plant/status", b"online"), ("asd/plant/info", info.encode())]
        publish.multiple(
            [(topic, payload, 1, True) for topic, payload in retained], "127.0.0.1", broker.port
        )
        options = {"host": "127.0.0.1", "port": broker.port}
        finding = delivery.check_mqtt(make_context(node="plant", mqtt=options))[-1]
        with Collector(broker.port) as late:
            late.wait_for("plant/info")
            assert {message.topic for message in late.messages} == dict(retained).keys()
    assert (finding.check, finding.status) == ("mqtt node", status)


def test_a_wrong_password_fails_at_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "users"
    users.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", users, "monitor", "right"], check=True)
    monkeypatch.setenv("MQTT_PASSWORD", "wrong")
    with Mosquitto(tmp_path, f"password_file {users}", anonymous=False) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "username": "monitor"}
        findings = delivery.check_mqtt(
            make_context(mqtt=options | {"password_env": "MQTT_PASSWORD"})
        )
    assert (findings[-1].check, findings[-1].status) == ("mqtt login", Status.FAILED)
    assert findings[-1].exit_code == SinkError.exit_code
    assert "wrong" not in findings[-1].message


def test_a_port_in_use_by_another_program_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        (finding,) = delivery.check_metrics_port(
            make_context(prometheus={"port": other.getsockname()[1]})
        )
    assert (finding.status, finding.exit_code) == (Status.FAILED, SinkError.exit_code)
    assert "another program uses the port" in finding.message


def test_a_port_in_use_by_a_running_monitor_is_ok() -> None:
    from prometheus_client import CollectorRegistry

    sink = PrometheusSink(PrometheusSettings(port=0), Metrics(CollectorRegistry()))
    sink.open()
    try:
        (finding,) = delivery.check_metrics_port(make_context(prometheus={"port": sink.port}))
    finally:
        sink.close()
    assert finding.status is Status.OK
    assert "already" in finding.message


def test_a_free_port_is_ok_and_free_again_afterwards() -> None:
    port = free_port()
    for _ in range(2):
        (finding,) = delivery.check_metrics_port(make_context(prometheus={"port": port}))
        assert finding.status is Status.OK
