"""The monitor is a Sparkplug edge node: births, data and deaths, on a real broker."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import StateError
from asd_monitor.outbox.database import FILE_NAME, SPARKPLUG_FILE_NAME
from asd_monitor.outbox.stored import count_waiting
from asd_monitor.records import (
    AlarmStatus,
    Decision,
    MachineAlarm,
    MachineRemoved,
    SourceState,
    State,
    Verdict,
)
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.sinks.mqtt.sparkplug.device_metrics import DEVICE_METRICS
from asd_monitor.sinks.mqtt.sparkplug.payload import (
    DataType,
    Metric,
    MetricQuality,
)
from tests.rig.hidden_packages import environment_without
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT, Rig, broker, rig
from tests.rig.paths import ROOT
from tests.rig.records import event, health, scored_window
from tests.rig.sink_process import running_sink
from tests.rig.sparkplug import REBIRTH, check_sequence, needs_protobuf, of_kind, read, to_bytes
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["broker", "rig"]

pytestmark = needs_protobuf

NAMES = {"group": "site1", "edge_node": "hall"}
NODE_TOPIC = "spBv1.0/site1/{}/hall"


def wait_for_birth(rig: Rig, births: int = 1) -> None:
    wait_until(lambda: rig.value("asd_sparkplug_births_total") >= births, "a birth")


def wait_for_kind(collector: Collector, kind: str, count: int = 1) -> None:
    wait_until(lambda: len(of_kind(read(collector), kind)) >= count, f"{count} of {kind}")


def wait_for_value(collector: Collector, name: str, value: object) -> None:
    wait_until(lambda: any(m.values.get(name) == value for m in read(collector)), f"{name} {value}")


def wait_for_windows(collector: Collector, count: int) -> None:
    """Wait until all windows were received; some may be in births."""
    wait_until(
        lambda: {m.values.get("window") for m in read(collector)} >= set(range(count)),
        f"{count} windows",
    )


def send(port: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, 1, retain).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_an_edge_node_is_born_with_its_devices_and_dies_at_the_end(
    broker: Mosquitto, rig: Rig, protocol: str
) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES, protocol=protocol)
        wait_for_birth(rig)
        verdict = Verdict("above threshold", "window", 2.0)
        sink.emit(scored_window(0, decision=Decision(State.NORMAL, verdict=verdict, mode="idle")))
        sink.emit(event("one"))
        sink.emit(MachineAlarm("pump", AlarmStatus.UNACKNOWLEDGED, time.time(), "one", 1))
        wait_for_value(host, "state", "ALARM")
        wait_for_value(host, "alarm", "unacknowledged")
        sink.close()
        wait_for_kind(host, "NDEATH")
        messages = read(host)
    check_sequence(messages)
    assert all(not message.received.retain for message in messages)
    assert all(message.received.qos == (message.kind == "NDEATH") for message in messages)
    birth, death = messages[0], messages[-1]
    assert birth.kind == "NBIRTH"
    assert birth.received.topic == NODE_TOPIC.format("NBIRTH")
    assert birth.values["Node Control/Rebirth"] is False
    assert {"bdSeq": birth.values["bdSeq"]} == death.values
    device = of_kind(messages, "DBIRTH")[0]
    assert device.received.topic == NODE_TOPIC.format("DBIRTH") + "/pump"
    assert device.names == list(DEVICE_METRICS)
    assert device.values["name"] == "pump"
    values = device.values
    for message in of_kind(messages, "DDATA"):
        assert all(metric.alias and not metric.name for metric in message.payload.metrics)
        values |= message.values
    expected = {
        "score": 1.25, "threshold": 2.0, "level_dbfs": -31.5, "quality": "ok", "mode": "idle",
        "verdict": "above threshold", "verdict_rule": "window", "state": "ALARM",
        "event_id": "one", "alarm": "unacknowledged", "unacknowledged": 1,
    }  # fmt: skip
    assert expected.items() <= values.items()
    now_ms = time.time() * 1000
    times = [metric.at_ms for message in messages for metric in message.payload.metrics]
    assert all(at_ms is not None and now_ms - 60_000 < at_ms <= now_ms for at_ms in times)


def test_sequence_numbers_wrap_and_unchanged_values_are_not_sent_again(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES)
        wait_for_birth(rig)
        for number in range(300):
            sink.emit(scored_window(number, "pump" if number % 2 else "fan"))
            time.sleep(0.001)
        wait_for_windows(host, 300)
        messages = read(host)
    check_sequence(messages)
    data = of_kind(messages, "DDATA")
    assert len(data) > 260
    assert data[-1].names == ["score", "window"]


def test_a_killed_monitor_is_dead_and_its_successor_has_another_number(
    broker: Mosquitto, tmp_path: Path
) -> None:
    settings = FAST_RECONNECT | {"port": broker.port, "sparkplug": NAMES}
    with Collector(broker.port, "spBv1.0/#") as host:
        for round_number in (1, 2):
            with running_sink(tmp_path / "outbox.db", settings) as process:
                wait_for_kind(host, "NBIRTH", round_number)
                wait_until(lambda: read(host)[-1].kind == "DDATA", "data")
                process.end(signal.SIGKILL)
                wait_for_kind(host, "NDEATH", round_number)
        births, deaths = (of_kind(read(host), kind) for kind in ("NBIRTH", "NDEATH"))
    numbers = [message.values["bdSeq"] for message in births]
    assert numbers == [message.values["bdSeq"] for message in deaths]
    assert isinstance(numbers[0], int)
    assert numbers[1] == (numbers[0] + 1) % 256


def test_scores_of_an_outage_arrive_as_historical_values(broker: Mosquitto, rig: Rig) -> None:
    with TcpProxy(broker.port) as proxy, Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(proxy.port, sparkplug=NAMES)
        wait_for_birth(rig)
        sink.emit(scored_window(0))
        wait_for_windows(host, 1)
        proxy.interrupt()
        wait_until(lambda: rig.value("asd_sparkplug_online") == 0, "the loss")
        for number in range(1, 50):
            sink.emit(scored_window(number))
        proxy.open()
        wait_for_birth(rig, 2)
        sink.emit(scored_window(50))
        wait_for_windows(host, 51)
        messages = read(host)
    first, second = (m.values["bdSeq"] for m in of_kind(messages, "NBIRTH"))
    assert first != second
    # The death of the broken connection may arrive after the next birth.
    check_sequence([message for message in messages if message.kind != "NDEATH"])
    historical = {
        message.values["window"]: message.payload.metrics[0].is_historical
        for message in of_kind(messages, "DDATA")
        if "window" in message.values
    }
    assert not historical[50]
    assert all(historical[number] for number in range(1, 49))
    assert rig.value("asd_dropped_total", queue="sparkplug") == 0


def test_resend_sends_data_again_as_historical_values(
    broker: Mosquitto, rig: Rig, tmp_path: Path
) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES, outbox_path=tmp_path / FILE_NAME)
        wait_for_birth(rig)
        for number in range(20):
            sink.emit(scored_window(number))
        wait_for_windows(host, 20)
        outboxes = [tmp_path / name for name in (FILE_NAME, SPARKPLUG_FILE_NAME)]

        def is_confirmed() -> bool:
            if sink.counts().scores_published < 20:
                return False
            try:
                return all(count_waiting(path).scores == 0 for path in outboxes)
            except StateError:  # an outbox thread is about to create its tables
                return False

        wait_until(is_confirmed, "the confirmation")
        arguments = ["resend", "--since", "1970-01-02", "--state-dir", str(tmp_path)]
        done = CliRunner().invoke(create_app(), arguments, catch_exceptions=False)
        both, over_sparkplug = done.output.splitlines()
        assert both.endswith("on: 20 scores and 0 events")
        assert over_sparkplug.startswith("over Sparkplug: to be sent again")
        assert over_sparkplug.endswith("on: 20 scores and 0 events")

        def again() -> set[object]:
            return {
                message.values["window"]
                for message in of_kind(read(host), "DDATA")
                if "window" in message.values and message.payload.metrics[0].is_historical
            }

        wait_until(lambda: again() == set(range(20)), "the same data again")


def test_data_that_a_dead_connection_lost_is_sent_again(broker: Mosquitto, rig: Rig) -> None:
    with TcpProxy(broker.port) as proxy, Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(proxy.port, sparkplug=NAMES, ack_timeout_s=1.0)
        wait_for_birth(rig)
        broker.freeze()
        for number in range(20):
            sink.emit(scored_window(number))
        wait_until(lambda: rig.value("asd_sparkplug_online") == 0, "the loss")
        proxy.interrupt()
        broker.kill()
        broker.start()
        wait_until(lambda: host.subscriptions == 2, "the host's return")
        proxy.open()
        sink.emit(scored_window(20))
        wait_for_windows(host, 21)


def test_a_rebirth_is_done_on_request_and_requests_at_once_are_answered_together(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES)
        sink.emit(health())
        wait_for_birth(rig)
        for _ in range(20):
            send(broker.port, NODE_TOPIC.format("NCMD"), to_bytes(REBIRTH))
        wait_until(
            lambda: rig.value("asd_sparkplug_commands_total", command="rebirth") == 20, "commands"
        )
        wait_for_birth(rig, 2)
        sink.emit(scored_window(1))
        wait_until(lambda: read(host)[-1].kind == "DDATA", "data")
        messages = read(host)
    check_sequence(messages)
    assert 2 <= len(of_kind(messages, "NBIRTH")) <= 4
    assert len({message.values["bdSeq"] for message in of_kind(messages, "NBIRTH")}) == 1
    last = max(i for i, message in enumerate(messages) if message.kind == "NBIRTH")
    assert messages[last + 1].kind == "DBIRTH"


@pytest.mark.parametrize(
    ("command", "retain"),
    [
        (b"\xff\xff\xff", False),
        (b"{}", False),
        (b"", False),
        (b"\x00" * 2000, False),
        (Metric("Node Control/Reboot", DataType.BOOLEAN, True), False),
        (Metric("Node Control/Rebirth", DataType.BOOLEAN, False), False),
        (Metric("Node Control/Rebirth", DataType.STRING, "x"), False),
        (REBIRTH, True),
    ],
)
def test_other_commands_are_ignored_and_counted(
    broker: Mosquitto, rig: Rig, command: Metric | bytes, retain: bool
) -> None:
    payload = to_bytes(command)
    topic = NODE_TOPIC.format("NCMD")
    if retain:
        send(broker.port, topic, payload, retain=True)
    rig.sink(broker.port, sparkplug=NAMES)
    wait_for_birth(rig)
    if not retain:
        send(broker.port, topic, payload)
    wait_until(lambda: rig.value("asd_sparkplug_commands_total", command="ignored") > 0, "it")
    assert rig.value("asd_sparkplug_commands_total", command="rebirth") == 0
    assert rig.value("asd_sparkplug_births_total") == 1


def test_nothing_is_sent_before_the_primary_host_is_online(broker: Mosquitto, rig: Rig) -> None:
    state = "spBv1.0/STATE/scada"

    def set_online(online: bool, at_ms: int) -> None:
        payload = json.dumps({"online": online, "timestamp": at_ms}).encode()
        send(broker.port, state, payload, retain=True)

    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES | {"primary_host": "scada"})
        sink.emit(scored_window(0))
        set_online(False, 1)
        send(broker.port, state, b"OFFLINE")
        send(broker.port, state, b"[" * 5000)
        assert read(host) == []
        set_online(True, 2)
        wait_for_value(host, "window", 0)
        set_online(False, 1)  # older than the state before
        set_online(False, 3)
        wait_for_kind(host, "NDEATH")
        sink.emit(scored_window(1))
        assert not any(m.values.get("window") == 1 for m in read(host))
        set_online(True, 4)
        wait_for_value(host, "window", 1)
        kinds = [m.kind for m in read(host) if m.kind.startswith("N")]
    assert kinds == ["NBIRTH", "NDEATH", "NBIRTH"]


def test_machines_are_born_and_die_while_the_edge_node_lives(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES)
        wait_for_birth(rig)
        sink.emit(scored_window(0, "pump"))
        sink.emit(scored_window(0, "fan"))
        wait_for_kind(host, "DBIRTH", 2)
        sink.emit(MachineRemoved("pump"))
        wait_for_kind(host, "DDEATH")
        sink.emit(scored_window(1, "fan"))
        wait_for_value(host, "window", 1)
        messages = read(host)
    check_sequence(messages)
    assert [message.machine for message in of_kind(messages, "DDEATH")] == ["pump"]
    assert {message.machine for message in of_kind(messages, "DBIRTH")} == {"pump", "fan"}
    assert len(of_kind(messages, "NBIRTH")) == 1


def test_a_score_without_sound_is_stale_and_a_doubtful_one_is_bad(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port, "spBv1.0/#") as host:
        sink = rig.sink(broker.port, sparkplug=NAMES)
        wait_for_birth(rig)
        for record in (
            scored_window(0),
            scored_window(1, quality="clipped"),
            health(SourceState.MISSING),
        ):
            count = len(read(host))
            sink.emit(record)
            wait_until(lambda c=count: len(read(host)) > c, "the message")  # type: ignore[misc]
        wait_until(lambda: read(host)[-1].values.get("source/state") == "missing", "the state")
        qualities = [
            metric.quality
            for message in of_kind(read(host), "DBIRTH", "DDATA")
            for metric in message.payload.metrics
            if metric.quality is not None
        ]
    assert list(dict.fromkeys(qualities)) == [
        MetricQuality.GOOD,
        MetricQuality.BAD,
        MetricQuality.STALE,
    ]


@pytest.mark.parametrize("key", ["group", "edge_node", "primary_host"])
@pytest.mark.parametrize("name", ["", "a/b", "a+", "#"])
def test_names_that_topics_do_not_allow_are_refused(key: str, name: str) -> None:
    with pytest.raises(ValidationError, match=key):
        MqttSettings.model_validate({"host": "broker", "sparkplug": {key: name}})


def test_without_protobuf_the_error_names_the_extra(tmp_path: Path) -> None:
    code = (
        "from prometheus_client import CollectorRegistry\n"
        "from asd_monitor.errors import SinkError\n"
        "from asd_monitor.sinks.mqtt.settings import MqttSettings\n"
        "from asd_monitor.sinks.mqtt.sink import MqttSink\n"
        "from asd_monitor.telemetry.metrics import Metrics\n"
        "settings = MqttSettings(host='127.0.0.1', sparkplug={})\n"
        "try: MqttSink(settings, Metrics(CollectorRegistry()), node='plant').open()\n"
        "except SinkError as error: print(error)\n"
    )
    (tmp_path / "hidden").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment_without(["google"], tmp_path / "hidden"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'asd-monitor[sparkplug]'" in done.stdout


def test_without_the_setting_there_is_no_edge_node(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink: MqttSink = rig.sink(broker.port)
        sink.emit(scored_window(0))
        subscriber.wait_for("/score")
        assert not [each for each in subscriber.of("") if each.topic.startswith("spB")]
