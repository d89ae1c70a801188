"""Check what a broker does with messages: whether it accepts and delivers those of full size.

Everything goes to ``<base>/<node>/check`` and is not retained, so nothing is left behind.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from asd_monitor.sinks.mqtt.messages import ONLINE, Message
from asd_monitor.sinks.mqtt.node_info import NodeInfo, make_host_id, parse_info
from asd_monitor.sinks.mqtt.refusals import SMALL_PROBE_BYTES, make_probe
from asd_monitor.sinks.mqtt.topics import Topics

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

FULL_BYTES, DISCOVERY_BYTES = 2000, 6000
"""Size of the largest messages, without and with descriptions for Home Assistant; with reserve."""
TIMEOUT_S = 5.0

Value = TypeVar("Value")
SETTLE_S = 0.3
"""A broker may acknowledge a message and then end the connection because of it."""
ECHO_S = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one stage."""

    name: str
    ok: bool
    detail: str
    """One line for the user: what was found, or what is wrong."""
    hint: str = ""
    """What to do about it, if the stage's usual hint does not apply."""
    is_warning: bool = False
    """The monitor works all the same."""


_SIZE_HINT = "raise the broker's limit (mosquitto: max_packet_size, message_size_limit)"


@dataclass
class PublishingCheck:
    """Publish over a connection that is logged in.

    Parameters
    ----------
    connection
        The connection; disconnected at the end.
    topics
        The topics of the node that is checked.
    version5
        Whether the connection uses MQTT 5.
    full_bytes
        Size of the largest messages.
    """

    connection: "Connection"
    topics: Topics
    version5: bool
    full_bytes: int = FULL_BYTES

    def run(self) -> list[Step]:
        """Check publishing, reading, and the use of the node name."""
        topics = self.topics
        self.connection.subscribe([topics.check, topics.status, topics.info], own=True)
        step = self._publish()
        steps = [step]
        if step.ok:
            steps.append(self._check_node())
            with contextlib.suppress(ValueError):
                self.connection.disconnect_gracefully()
        return steps

    def _publish(self) -> Step:
        topic, limit = self.topics.check, self.connection.max_packet_bytes
        if limit is not None and limit < self.full_bytes:
            detail = (
                f"the broker accepts packets of at most {limit} bytes; {self.full_bytes} are needed"
            )
            return Step("publish", False, detail, _SIZE_HINT)
        small, full = (
            make_probe(topic, size, version5=self.version5)
            for size in (SMALL_PROBE_BYTES, self.full_bytes)
        )
        refusal = self._send(small)
        if refusal:
            return Step("publish", False, f"{topic}: {refusal}")
        refusal = self._send(full)
        if refusal:
            detail = (
                f"{topic}: a message of {self.full_bytes} bytes: {refusal}; a short one is accepted"
            )
            return Step("publish", False, detail, _SIZE_HINT)
        return self._check_echo(small, full)

    def _send(self, message: Message) -> str:
        """Publish a message; return why it was refused, or an empty text."""
        connection = self.connection
        wanted = connection.publish(message)
        ack = self._wait(
            lambda: next((ack for ack in connection.acks if ack.mid == wanted), None), TIMEOUT_S
        )
        refused = "" if ack is None else ack.refused
        if not refused:
            self._wait(lambda: None, SETTLE_S)
        if refused:
            return f"the broker refuses it: {refused}"
        if connection.failure is not None:
            return "the broker ends the connection"
        return "" if ack is not None else f"no acknowledgement within {TIMEOUT_S:g} s"

    def _check_echo(self, small: Message, full: Message) -> Step:
        topic, expected = self.topics.check, {small.payload, full.payload}
        self._wait(lambda: expected <= self._payloads_of(topic) or None, ECHO_S)
        arrived = expected & self._payloads_of(topic)
        if arrived == {small.payload}:
            detail = (
                f"{topic}: the broker acknowledges messages of {self.full_bytes} bytes, but does "
            )
            return Step("publish", False, f"{detail}not deliver them", _SIZE_HINT)
        if not arrived:
            detail = f"{topic}: acknowledged, but this user may not read it"
            hint = (
                f"allow this user to read {self.topics.base}/{self.topics.node}/# as well, so that "
                "removed machines are cleared and a second monitor of this name is noticed"
            )
            return Step("publish", True, detail, hint, is_warning=True)
        return Step("publish", True, f"{topic}: {self.full_bytes} bytes acknowledged and delivered")

    def _check_node(self) -> Step:
        """Check that no other computer publishes as this node."""
        node = self.topics.node
        infos = [parse_info(payload) for payload in self._payloads_of(self.topics.info)]
        other = next((info for info in infos if info is not None), None)
        is_online = ONLINE in self._payloads_of(self.topics.status)
        if other is None or not is_online:
            return Step("node", True, f"no other monitor is online as {node}")
        if other.host_id == make_host_id():
            return Step("node", True, f"the monitor of this computer is online as {node}")
        return Step("node", True, _describe_other(node, other), _NODE_HINT, is_warning=True)

    def _payloads_of(self, topic: str) -> set[bytes]:
        incoming = self.connection.incoming
        return {message.payload for message in incoming if message.topic == topic}

    def _wait(self, poll: Callable[[], Value | None], timeout_s: float) -> Value | None:
        """Process messages until ``poll`` returns a value, or the time is over."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            value, remaining_s = poll(), deadline_s - time.monotonic()
            if value is not None or remaining_s <= 0 or self.connection.failure is not None:
                return value
            self.connection.loop_once(remaining_s)


_NODE_HINT = (
    "give each monitor a different name (--node, or node: in the configuration); ignore this if "
    "that computer was replaced by this one"
)


def _describe_other(node: str, other: NodeInfo) -> str:
    return (
        f"another computer (host name {other.host!r}, machines {', '.join(other.machines)}) is "
        f"online as {node}, or did not sign off when it ended"
    )
