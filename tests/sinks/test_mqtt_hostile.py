"""Hostile messages through a real broker: scores and events are delivered meanwhile."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from asd_monitor.judging.commands import Command, Refusal
from asd_monitor.sinks.mqtt.commands import BURST, CommandReceiver
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.sinks.mqtt.topics import Topics
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT, Rig, broker, rig
from tests.rig.records import event, scored_window

__all__ = ["broker", "rig"]

COMMAND = "asd/plant/pump/command"
Submitted = list[Command | Refusal]


@contextmanager
def attacker(port: int) -> Iterator[paho.Client]:
    """Yield a connected client."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until(client.is_connected, "the attacker")
    yield client
    client.disconnect()
    client.loop_stop()


def open_sink(rig: Rig, port: int, submitted: Submitted) -> MqttSink:
    """Return a connected sink that accepts commands."""

    def submit(command: Command | Refusal) -> bool:
        submitted.append(command)
        return True

    options = MqttSettings.model_validate({"port": port, "commands": True, **FAST_RECONNECT})
    sink = MqttSink(options, rig.metrics, node="plant", machines=["pump"], submit=submit)
    rig.sinks.append(sink)
    sink.open()
    wait_until(lambda: sink.connected, "the connection")
    return sink


PAYLOADS = {
    "a megabyte": b"x" * 1_000_000,
    "a megabyte of JSON": json.dumps({"do": "comment", "comment": "x" * 1_000_000}).encode(),
    "10 000 levels of JSON": b"[" * 10_000 + b"]" * 10_000,
    "no UTF-8": b'{"do":"ack","who":"\xff\xfe"}',
    "NUL and escapes": b'{"do":"ack","who":"\\u0000\\u001b[2J"}',
    "a number without end": b'{"do":"shelve","minutes":1e999}',
}


def test_hostile_commands_do_nothing_and_delay_no_score(broker: Mosquitto, rig: Rig) -> None:
    submitted: Submitted = []
    sink = open_sink(rig, broker.port, submitted)
    with attacker(broker.port) as client, Collector(broker.port, topic="asd/+/+/score") as scores:
        for number, payload in enumerate(PAYLOADS.values()):
            for topic in (COMMAND, "asd/plant/info", "asd/plant/pump/state"):
                client.publish(topic, payload, 1).wait_for_publish(20)
            sink.emit(scored_window(number))
            scores.wait_for("/score", number + 1)
    assert sink.connected
    assert not [command for command in submitted if isinstance(command, Command)]


def test_a_flood_of_10_000_commands_delays_no_event_and_is_cut_short(
    broker: Mosquitto, rig: Rig
) -> None:
    submitted: Submitted = []
    sink = open_sink(rig, broker.port, submitted)
    with attacker(broker.port) as client, Collector(broker.port, topic="asd/+/+/event") as events:
        for number in range(10_000):
            client.publish(COMMAND, b'{"do":"ack","who":"x"}', 1)
            if number % 2500 == 0:
                sink.emit(event(f"e{number}"))
        events.wait_for("/event", 4)
        wait_until(lambda: sink.counts().events_published == 4, "the acknowledgements")
    accepted = [command for command in submitted if isinstance(command, Command)]
    assert len(accepted) <= BURST + 60  # at most one per second
    assert sink.connected


def test_a_topic_that_is_no_utf_8_reaches_no_monitor(broker: Mosquitto, rig: Rig) -> None:
    sink = open_sink(rig, broker.port, [])
    with socket.create_connection(("127.0.0.1", broker.port)) as raw:
        raw.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01h")
        raw.recv(4)
        topic = b"asd/plant/\xff\xfe/command"
        body = struct.pack(">H", len(topic)) + topic + b"{}"
        raw.sendall(bytes([0x30, len(body)]) + body)
        assert raw.recv(1) == b""  # the broker disconnects it
    sink.emit(event("e"))
    wait_until(lambda: sink.counts().events_published == 1, "the event")


TOPIC = st.sampled_from([COMMAND, "asd/plant/x/command", "asd/plant/pump/state"])
MEMBERS = st.sampled_from(["do", "who", "event", "comment", "minutes", "other"])
SIMPLE = st.none() | st.floats() | st.text(max_size=5) | st.sampled_from(["ack", "shelve"])
VALUE = SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(MEMBERS, SIMPLE, max_size=2)
PAYLOAD = st.binary(max_size=50) | st.dictionaries(MEMBERS, VALUE, max_size=4).map(
    lambda value: json.dumps(value).encode()
)


def check_payload(topic: str, payload: bytes) -> None:
    submitted: Submitted = []

    def submit(command: Command | Refusal) -> bool:
        submitted.append(command)
        return True

    receiver = CommandReceiver(Topics("asd", "plant"), lambda: ["pump"], submit)
    taken = receiver.receive(Incoming(topic, payload, False), 0.0)
    assert taken is topic.endswith("/command")
    assert len(submitted) == (taken and payload != b"")
    for command in submitted:
        if isinstance(command, Command):
            assert command.machine == "pump"
            assert 0 < command.message.minutes < float("inf")


@settings(deadline=None)
@given(TOPIC, PAYLOAD)
def test_any_payload_is_a_valid_command_or_is_refused(topic: str, payload: bytes) -> None:
    check_payload(topic, payload)


@pytest.mark.soak
@settings(max_examples=20_000, deadline=None)
@given(TOPIC, PAYLOAD)
def test_any_of_many_payloads_is_a_valid_command_or_is_refused(topic: str, payload: bytes) -> None:
    check_payload(topic, payload)
