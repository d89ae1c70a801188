"""Commands over MQTT: off unless allowed, retained ones ignored, small and slow."""

import json
from collections.abc import Callable

import pytest
from paho.mqtt import publish

from asd_monitor.judging.commands import Command, Refusal
from asd_monitor.records import AlarmStatus, MachineAlarm
from asd_monitor.sinks.mqtt.commands import BURST, MAX_BYTES, CommandReceiver
from asd_monitor.sinks.mqtt.home_assistant import describe_machine
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.sinks.mqtt.topics import Topics
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT, Rig, broker, rig

__all__ = ["broker", "rig"]

TOPICS = Topics("asd", "plant")
ACK = b'{"do":"ack","who":"anna"}'
Submitted = list[Command | Refusal]


def append_to(submitted: Submitted) -> Callable[[Command | Refusal], bool]:
    def submit(command: Command | Refusal) -> bool:
        submitted.append(command)
        return True

    return submit


def receiver(submitted: Submitted) -> CommandReceiver:
    return CommandReceiver(TOPICS, lambda: ["pump"], append_to(submitted))


def send(payload: bytes, *, retained: bool = False, topic: str = "pump/command") -> Incoming:
    return Incoming(f"asd/plant/{topic}", payload, retained)


def test_a_retained_or_empty_message_is_ignored() -> None:
    submitted: Submitted = []
    commands = receiver(submitted)
    assert commands.receive(send(ACK, retained=True), 0.0)
    assert commands.receive(send(b""), 0.0)
    assert submitted == []


@pytest.mark.parametrize("topic", ["pump/state", "command", "a/b/command", "/command"])
def test_other_topics_are_no_commands(topic: str) -> None:
    assert not receiver([]).receive(send(ACK, topic=topic), 0.0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (send(b'{"do":"ack","comment":"' + b"x" * MAX_BYTES + b'"}'), f"at most {MAX_BYTES} bytes"),
        (send(b"{}"), "do"),
        (send(ACK, topic="fan/command"), "no such machine"),
    ],
)
def test_a_command_that_is_wrong_is_passed_on_as_refused(message: Incoming, reason: str) -> None:
    submitted: Submitted = []
    receiver(submitted).receive(message, 0.0)
    (refusal,) = submitted
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason


def test_a_flood_is_cut_to_one_a_second_and_reported_once() -> None:
    submitted: Submitted = []
    commands = receiver(submitted)
    for _ in range(1000):
        commands.receive(send(ACK), 100.0)
    assert [type(item) for item in submitted] == [Command] * BURST + [Refusal]
    submitted.clear()
    for second in range(10):
        commands.receive(send(ACK), 101.5 + second)
    assert [type(item) for item in submitted] == [Command] * 10


def make_sink(
    rig: Rig, port: int, submit: Callable[[Command | Refusal], bool], **settings: object
) -> MqttSink:
    options = MqttSettings.model_validate({"port": port, **FAST_RECONNECT, **settings})
    sink = MqttSink(options, rig.metrics, node="plant", machines=["pump"], submit=submit)
    rig.sinks.append(sink)
    sink.open()
    wait_until(lambda: sink.connected, "the connection")
    return sink


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_real_broker_delivers_commands_and_keeps_the_alarm(
    broker: Mosquitto, rig: Rig, protocol: str
) -> None:
    submitted: Submitted = []
    publish.single("asd/plant/pump/command", ACK, 1, True, "127.0.0.1", broker.port)
    sink = make_sink(rig, broker.port, append_to(submitted), commands=True, protocol=protocol)
    sink.emit(MachineAlarm("pump", AlarmStatus.ACKNOWLEDGED, 5.0, "e1", who="anna"))
    command = b'{"do":"shelve","minutes":5}'

    def arrives() -> bool:
        publish.single("asd/plant/pump/command", command, 1, False, "127.0.0.1", broker.port)
        return bool(submitted)

    wait_until(arrives, "the command")
    first = submitted[0]
    assert isinstance(first, Command)  # and not the retained acknowledgement
    assert (first.machine, first.message.do, first.message.minutes) == ("pump", "shelve", 5)
    with Collector(broker.port) as late:
        late.wait_for("asd/plant/pump/alarm")
        message = next(m for m in late.messages if m.topic.endswith("/alarm"))
    assert json.loads(message.payload)["status"] == "acknowledged"


def test_commands_are_off_unless_they_are_allowed(broker: Mosquitto, rig: Rig) -> None:
    submitted: Submitted = []
    make_sink(rig, broker.port, append_to(submitted))
    with Collector(broker.port) as subscriber:
        publish.single("asd/plant/pump/command", ACK, 1, False, "127.0.0.1", broker.port)
        subscriber.wait_for("asd/plant/pump/command")
    rig.sinks[0].close()
    assert submitted == []


def test_home_assistant_has_buttons_only_where_commands_are_received() -> None:
    components = describe_machine(TOPICS, "pump", "", with_buttons=True)["components"]
    assert isinstance(components, dict)
    for key, do in (("ack", "ack"), ("normal", "normal")):
        button = components[key]
        assert isinstance(button, dict)
        assert button["command_topic"] == "asd/plant/pump/command"
        assert json.loads(str(button["payload_press"]))["do"] == do
    without = describe_machine(TOPICS, "pump", "")["components"]
    assert isinstance(without, dict)
    assert not {"ack", "normal"} & without.keys()
