"""The messages of an edge node in their order: birth, data, deaths."""

import json
from collections.abc import Callable, Sequence

from asd_monitor import __version__
from asd_monitor.outbox.rows import Row
from asd_monitor.sinks.mqtt.messages import Message
from asd_monitor.sinks.mqtt.sparkplug.device_metrics import payload_time_ms, payload_values
from asd_monitor.sinks.mqtt.sparkplug.devices import Devices
from asd_monitor.sinks.mqtt.sparkplug.host import REBIRTH
from asd_monitor.sinks.mqtt.sparkplug.payload import DataType, Metric, Payload, encode_payload
from asd_monitor.sinks.mqtt.sparkplug.topics import SparkplugTopics

BIRTH_DEATH = "bdSeq"
NUMBERS = 256
"""Sequence numbers are from 0 to 255, then 0 again."""


class UnknownDeviceError(Exception):
    """A message of the outbox is about a machine that the monitor does not have."""


class EdgeNode:
    """Make the messages of one monitor; for the thread that owns the connections.

    Parameters
    ----------
    topics
        The topics of the edge node.
    devices
        The machines.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, topics: SparkplugTopics, devices: Devices, clock: Callable[[], float]
    ) -> None:
        self.is_born = False
        self._topics = topics
        self._devices = devices
        self._clock = clock
        self._bd_seq = 0
        self._seq = 0
        self._is_due = False

    def will(self, bd_seq: int) -> Message:
        """Begin a session, and return its death, for the broker to publish if need be."""
        self._bd_seq = bd_seq
        self.is_born = self._is_due = False
        metric = Metric(BIRTH_DEATH, DataType.INT64, bd_seq, self._now_ms())
        payload = encode_payload(Payload([metric], self._now_ms()))
        return Message("retained", self._topics.of_node("NDEATH"), payload, 1, retain=False)

    def bear(self) -> None:
        """Publish the births of the edge node and of all devices next."""
        self._is_due = True

    def next(self) -> Message | None:
        """Return a birth, a death, or values that do not go through the outbox, if any is due."""
        now_ms = self._now_ms()
        if self._is_due:
            self._is_due, self.is_born = False, True
            self._seq = 0
            self._devices.begin()
            return self._message(self._topics.of_node("NBIRTH"), self._node_metrics(now_ms))
        if not self.is_born:
            return None
        if machine := self._devices.take_removed():
            return self._message(self._topics.of_device("DDEATH", machine), [])
        for kind, take in (
            ("DBIRTH", self._devices.take_unborn),
            ("DDATA", self._devices.take_changes),
        ):
            if found := take(now_ms):
                return self._message(self._topics.of_device(kind, found[0]), found[1])
        return None

    def data(self, row: Row, payload: bytes, *, replayed: bool) -> Message | None:
        """Return a message of the outbox; None if it has nothing new to a host.

        Raises
        ------
        UnknownDeviceError
            If its machine is no device, or no longer.
        """
        members = json.loads(payload)
        values, at_ms = payload_values(row.topic, members), payload_time_ms(members)
        select = self._devices.late if replayed else self._devices.present
        metrics = select(row.machine, values, at_ms)
        if metrics is None:
            raise UnknownDeviceError(row.machine)
        if not metrics:
            return None
        return self._message(self._topics.of_device("DDATA", row.machine), metrics)

    def _message(self, topic: str, metrics: Sequence[Metric]) -> Message:
        payload = encode_payload(Payload(metrics, self._now_ms(), self._seq))
        self._seq = (self._seq + 1) % NUMBERS
        return Message("score", topic, payload, 0, retain=False)

    def _node_metrics(self, now_ms: int) -> list[Metric]:
        return [
            Metric(BIRTH_DEATH, DataType.INT64, self._bd_seq, now_ms),
            Metric(REBIRTH, DataType.BOOLEAN, False, now_ms),
            Metric("Properties/Software", DataType.STRING, "asd-monitor", now_ms),
            Metric("Properties/Version", DataType.STRING, __version__, now_ms),
        ]

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)
