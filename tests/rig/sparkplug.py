"""A Sparkplug host: reads the messages of an edge node as the specification says."""

from dataclasses import dataclass

import pytest

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.sparkplug.payload import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class
from tests.rig.mosquitto import Collector, Received

REBIRTH = Metric("Node Control/Rebirth", DataType.BOOLEAN, True)


def has_protobuf() -> bool:
    """Return whether the extra sparkplug is installed."""
    try:
        payload_class()
    except SinkError:
        return False
    return True


needs_protobuf = pytest.mark.skipif(
    not has_protobuf(), reason="the extra sparkplug is not installed"
)


def to_bytes(command: Metric | bytes) -> bytes:
    """Return a command with one metric, or arbitrary bytes as they are."""
    return command if isinstance(command, bytes) else encode_payload(Payload([command]))


@dataclass(frozen=True, slots=True)
class SparkplugMessage:
    kind: str
    machine: str
    payload: Payload
    names: list[str]
    """Names of the metrics, found by their aliases in the births before."""
    received: Received

    @property
    def values(self) -> dict[str, object]:
        return {
            name: metric.value
            for name, metric in zip(self.names, self.payload.metrics, strict=True)
        }


def read(collector: Collector) -> list[SparkplugMessage]:
    """Return the messages so far; an alias that no birth has introduced raises KeyError."""
    aliases: dict[int | None, str] = {}
    messages = []
    for received in collector.of(""):
        _, _, kind, *device = received.topic.split("/")
        if kind not in ("NBIRTH", "NDEATH", "DBIRTH", "DDATA", "DDEATH"):
            continue
        payload = decode_payload(received.payload)
        if kind == "NBIRTH":
            aliases.clear()
        if kind == "DBIRTH":
            aliases |= {metric.alias: metric.name for metric in payload.metrics}
        names = [metric.name or aliases[metric.alias] for metric in payload.metrics]
        messages.append(SparkplugMessage(kind, "".join(device[1:]), payload, names, received))
    return messages


def of_kind(messages: list[SparkplugMessage], *kinds: str) -> list[SparkplugMessage]:
    return [message for message in messages if message.kind in kinds]


def check_sequence(messages: list[SparkplugMessage]) -> None:
    """Check that numbers begin with 0 at each birth of the node, and have no gap."""
    expected = 0
    for message in messages:
        if message.kind == "NDEATH":
            assert message.payload.seq is None
            continue
        if message.kind == "NBIRTH":
            expected = 0
        assert message.payload.seq == expected, message
        expected = (expected + 1) % 256
