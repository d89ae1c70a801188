"""Remove the devices of a node from Home Assistant."""

import json
import time
import uuid
from typing import TYPE_CHECKING

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.home_assistant import ORIGIN, discovery_topic, make_object_id
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import Message
from asd_monitor.sinks.mqtt.settings import HomeAssistantSettings, MqttSettings
from asd_monitor.sinks.mqtt.topics import Topics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

WAIT_S = 2.0
"""Retained messages have arrived after this time."""
ACK_TIMEOUT_S = 5.0


def remove_discovery(settings: MqttSettings, node: str) -> list[str]:
    """Clear the retained descriptions of a node's devices; return their names.

    Raises
    ------
    SinkError
        If the broker cannot be used, or does not acknowledge.
    """
    from asd_monitor.sinks.mqtt.connection import Connection

    home_assistant = settings.home_assistant or HomeAssistantSettings()
    topics = Topics(settings.base_topic, node)
    connection = Connection(settings, f"asd-remove-{uuid.uuid4().hex[:12]}", None)
    try:
        if not connection.start():
            raise SinkError(connection.failure.reason if connection.failure else "no answer")
        connection.subscribe([discovery_topic(home_assistant, "+")])
        _wait(connection, WAIT_S)
        if connection.subscription is False:
            topic = discovery_topic(home_assistant, "+")
            raise SinkError(f"the broker does not let this user read {topic}")
        found = {message.topic: name for message in connection.incoming
                 if (name := _find_device(message, topics)) is not None}  # fmt: skip
        for topic in found:
            connection.publish(Message("retained", topic, b"", 1, retain=True))
        _wait(connection, ACK_TIMEOUT_S, acks=len(found))
        refused = [ack.refused for ack in connection.acks if ack.refused]
        if refused or len(connection.acks) < len(found):
            reason = refused[0] if refused else "no acknowledgement"
            raise SinkError(f"the broker does not accept the removal: {reason}")
        connection.disconnect_gracefully()
    finally:
        connection.stop()
    return sorted(found.values())


def _wait(connection: "Connection", timeout_s: float, *, acks: int | None = None) -> None:
    """Process messages for this long, or until there are this many acknowledgements."""
    deadline_s = time.monotonic() + timeout_s
    while connection.failure is None and (acks is None or len(connection.acks) < acks):
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            return
        connection.loop_once(remaining_s)


def _find_device(message: Incoming, topics: Topics) -> str | None:
    """Return the name of the device that a description is of, if it is of this node."""
    try:
        description = json.loads(message.payload)
        device, origin = description["device"], description["origin"]
        parents = [*device["identifiers"], device.get("via_device")]
        is_own = origin["name"] == ORIGIN and make_object_id(topics) in parents
        return str(device["name"]) if is_own else None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
