"""With a base topic of several levels, everything of the node is below it."""

import json
import signal
from pathlib import Path

from paho.mqtt import publish

from asd_monitor.judging.commands import Command, Refusal
from asd_monitor.records import AlarmStatus, MachineAlarm
from asd_monitor.sinks.mqtt.check import check_broker
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT, Rig, broker, rig
from tests.rig.records import event, health, scored_window
from tests.rig.sink_process import running_sink

__all__ = ["broker", "rig"]

PREFIX = "plant/site1"
NODE = f"{PREFIX}/plant"


def texts(value: object) -> list[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [text for item in items for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_all_topics_are_below_the_prefix_of_the_site(broker: Mosquitto, rig: Rig) -> None:
    commands: list[Command | Refusal] = []

    def submit(command: Command | Refusal) -> bool:
        commands.append(command)
        return True

    settings = MqttSettings(
        port=broker.port, base_topic=PREFIX, home_assistant={}, commands=True, **FAST_RECONNECT
    )
    publish.single(f"{NODE}/former/state", b"{}", 1, True, "127.0.0.1", broker.port)
    with Collector(broker.port) as everyone:
        sink = MqttSink(settings, rig.metrics, node="plant", submit=submit)
        rig.sinks.append(sink)
        sink.open()
        wait_until(lambda: sink.connected, "the connection")
        for record in (scored_window(0), event("one"), health()):
            sink.emit(record)
        sink.emit(MachineAlarm("pump", AlarmStatus.ACKNOWLEDGED, 0.0))
        for kind in ("score", "event", "state", "health", "availability", "alarm"):
            everyone.wait_for(f"{NODE}/pump/{kind}")
        discovered = everyone.wait_for("/config", 3)
        wait_until(
            lambda: any(not each.payload for each in everyone.of(f"{NODE}/former/state")),
            "the clearing of a former machine",
        )
        publish.single(
            f"{NODE}/pump/command", b'{"do":"ack"}', hostname="127.0.0.1", port=broker.port
        )
        wait_until(lambda: bool(commands), "the command")
        assert all(step.ok for step in check_broker(settings, "plant"))
        sink.close()
        everyone.wait_for(f"{NODE}/status", 2)
        topics = {message.topic for message in everyone.of("")}
    assert commands[0].machine == "pump"
    assert isinstance(commands[0], Command)
    others = {topic for topic in topics if not topic.startswith(f"{NODE}/")}
    assert all(topic.startswith("homeassistant/device/") for topic in others)
    payloads = [each.payload for each in discovered if each.payload]
    described = [text for payload in payloads for text in texts(json.loads(payload))]
    referred = [text for text in described if text.startswith("plant/") or "/pump/" in text]
    assert referred
    assert all(text.startswith(f"{NODE}/") for text in referred)


def test_the_last_will_is_below_the_prefix_of_the_site(broker: Mosquitto, tmp_path: Path) -> None:
    settings = FAST_RECONNECT | {"port": broker.port, "base_topic": PREFIX}
    with Collector(broker.port, f"{NODE}/status") as subscriber:
        with running_sink(tmp_path / "outbox.db", settings) as process:
            subscriber.wait_for("/status")
            process.end(signal.SIGKILL)
        messages = subscriber.wait_for("/status", 2)
    assert [message.payload for message in messages] == [b"online", b"offline"]
