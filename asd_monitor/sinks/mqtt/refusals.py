"""Find out which messages a broker refuses, and do not send them again and again.

With MQTT 5 a broker announces the largest packet it accepts, and answers a forbidden topic. With
3.1.1, and with some brokers in 5 as well, its only answer is to end the connection, sometimes after
an acknowledgement. If connections end soon after the login, the next one is *careful*: one message
at a time, so that the last one sent is the one refused. Whether its topic or its size is the cause
is decided with messages of chosen sizes to the topic ``check``.
"""

import logging
from dataclasses import dataclass
from typing import Literal

from asd_monitor.sinks.mqtt.messages import Message

logger = logging.getLogger(__name__)

Cause = Literal["size", "topic", "other"]

BRIEF_S = 60.0
"""A connection that ends sooner may have been ended because of a message."""
CAREFUL_AFTER_LOSSES = 2
CAREFUL_S = 30.0
"""A connection is careful for this long."""
SETTLE_S = 0.01
"""After an acknowledgement a broker may still end the connection because of that message."""
STRIKES = 2
STRIKES_IF_PROVEN = 5
"""A message is suspected when this many connections in succession have ended with it: networks fail
as well, and a message like one that was accepted before is an unlikely cause."""
RETRY_TOPIC_S = 600.0
"""A refused topic is tried again after this time: access lists can be changed without a restart."""
UNDECIDED = "its access list, or its limit of the packet size"
SMALL_PROBE_BYTES = 100
SIZE_TOLERANCE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it was sent."""

    topic: str
    packet_bytes: int


def count_packet_bytes(topic: str, payload_bytes: int, *, qos: int, version5: bool) -> int:
    """Return the size of the packet that carries a message, as brokers count it."""
    remaining = 2 + len(topic.encode()) + (2 if qos else 0) + version5 + payload_bytes
    length_bytes = 1
    while remaining >= 128**length_bytes:
        length_bytes += 1
    return 1 + length_bytes + remaining


def make_probe(topic: str, packet_bytes: int, *, version5: bool) -> Message:
    """Return a message without a meaning whose packet has this size, or slightly more."""
    payload = b'{"schema":2,"check":true,"fill":""}'
    size = count_packet_bytes(topic, len(payload), qos=1, version5=version5)
    fill = b"." * max(packet_bytes - size, 0)
    return Message("retained", topic, payload[:-2] + fill + payload[-2:], 1, False)


class Refusals:
    """What the broker refuses, over all connections to it.

    Parameters
    ----------
    check_topic
        Receives messages of chosen sizes, which mean nothing.
    """

    def __init__(self, check_topic: str) -> None:
        self._check_topic = check_topic
        self._announced_bytes: int | None = None
        self._begun_s = 0.0
        self._losses = 0
        self._careful = False
        self._last: Sent | None = None
        self._suspect: Sent | None = None
        self._can_probe: bool | None = None
        self._accepted_bytes = 0
        self._refused_bytes: int | None = None
        self._proven_bytes: dict[str, int] = {}
        self._strikes: tuple[str, int] = ("", 0)
        self._retry_topic_s: dict[str, float] = {}
        self._reported: set[str] = set()

    def begin(self, announced_bytes: int | None, now_s: float) -> None:
        """Begin a connection whose largest packet the broker may have announced."""
        self._announced_bytes = announced_bytes
        self._begun_s = now_s
        self._last = None
        self._careful = self._losses >= CAREFUL_AFTER_LOSSES

    def is_careful(self, now_s: float) -> bool:
        """Return whether messages are to be sent one at a time, with QoS 1."""
        if self._careful and now_s - self._begun_s > CAREFUL_S and self._suspect is None:
            self._careful, self._losses = False, 0
        return self._careful

    def find_cause(self, topic: str, packet_bytes: int, now_s: float) -> Cause | None:
        """Return why a message is known to be refused; None if it can be sent."""
        limit = self._announced_bytes
        if limit is not None and packet_bytes > limit:
            self._report_size(limit, packet_bytes, "announces")
            return "size"
        if self._refused_bytes is not None and packet_bytes > self._accepted_bytes:
            return "size"
        return "topic" if now_s < self._retry_topic_s.get(topic, now_s) else None

    def next_probe_bytes(self) -> int | None:
        """Return the size of the message to send to ``check`` first; None if none is needed."""
        if not self._careful or self._can_probe is False:
            return None
        if self._refused_bytes is not None:
            gap = self._refused_bytes - self._accepted_bytes
            if gap > SIZE_TOLERANCE_BYTES:
                return (self._refused_bytes + self._accepted_bytes) // 2
            self._report_size(self._accepted_bytes, self._refused_bytes, "accepts")
        elif self._suspect is not None:
            return self._suspect.packet_bytes if self._can_probe else SMALL_PROBE_BYTES
        return None

    def sent(self, message: Sent) -> None:
        """Take note of a message that was sent alone."""
        self._last = message

    def accepted(self, now_s: float) -> None:
        """Take note that the message that was sent alone has been accepted."""
        last, self._last = self._last, None
        if last is None:
            return
        self.prove(last)
        if self._strikes[0] == last.topic:
            self._strikes = ("", 0)
        suspect = self._suspect
        if last.topic == self._check_topic and suspect is not None:
            self._can_probe = True
            if last.packet_bytes >= suspect.packet_bytes:
                self._suspect = None
                self._refuse_topic(suspect.topic, "its access list", now_s)

    def prove(self, message: Sent) -> None:
        """Take note that a message has been accepted: others were acknowledged after it."""
        known_bytes = self._proven_bytes.get(message.topic, 0)
        if message.packet_bytes > known_bytes:
            self._proven_bytes[message.topic] = message.packet_bytes
            self._accepted_bytes = max(self._accepted_bytes, message.packet_bytes)

    def lost(self, now_s: float) -> bool:
        """Find the message because of which the connection has ended; return if it was one."""
        if now_s - self._begun_s > BRIEF_S:
            self._losses = 0
            return False
        self._losses += 1
        last, self._last = self._last, None
        if not self._careful or last is None:
            return False
        if last.topic == self._check_topic:
            self._judge_probe(last, now_s)
        elif not self._is_suspicious(last):
            return False
        elif last.packet_bytes <= self._accepted_bytes:
            self._refuse_topic(last.topic, "its access list", now_s)
        elif self._can_probe is False:
            self._refuse_topic(last.topic, UNDECIDED, now_s)
        else:
            self._suspect = last
        return True

    def _is_suspicious(self, last: Sent) -> bool:
        topic, strikes = self._strikes
        strikes = strikes + 1 if topic == last.topic else 1
        self._strikes = last.topic, strikes
        if last.packet_bytes > self._proven_bytes.get(last.topic, 0):
            return strikes >= STRIKES
        if strikes < STRIKES_IF_PROVEN:
            return False
        self._proven_bytes.clear()  # the broker has changed its rules
        self._accepted_bytes = 0
        return True

    def _judge_probe(self, probe: Sent, now_s: float) -> None:
        """Conclude from a connection that ended because of a message to ``check``."""
        suspect = self._suspect
        if self._can_probe:
            self._refused_bytes, self._suspect = probe.packet_bytes, None
            return
        self._can_probe, self._suspect = False, None
        if suspect is not None:
            self._refuse_topic(suspect.topic, UNDECIDED, now_s)

    def reset(self) -> None:
        """Forget what is known: the broker was away, and may have been configured differently."""
        self._losses = 0
        self._suspect = self._refused_bytes = self._can_probe = None
        self._retry_topic_s.clear()
        self._reported.clear()

    def _refuse_topic(self, topic: str, cause: str, now_s: float) -> None:
        self._retry_topic_s[topic] = now_s + RETRY_TOPIC_S
        if topic not in self._reported:
            self._reported.add(topic)
            logger.warning(
                "MQTT: the broker ends the connection when it receives %s; check %s. Such messages "
                "are not published; they are tried again every %.0f min",
                topic,
                cause,
                RETRY_TOPIC_S / 60,
            )

    def _report_size(self, limit: int, needed: int, verb: str) -> None:
        if "size" not in self._reported:
            self._reported.add("size")
            logger.warning(
                "MQTT: the broker %s packets of at most %s%d bytes, but a message needs %d: larger "
                "messages are not published; raise the broker's limit (mosquitto: max_packet_size, "
                "message_size_limit)",
                verb,
                "" if verb == "announces" else "about ",
                limit,
                needed,
            )
