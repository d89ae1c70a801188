"""Find out what a broker has lost after it had acknowledged it, and have it sent again.

While the broker acknowledges messages, the monitor publishes a retained *mark* now and then: a time
of the outbox. A broker that crashes and starts again has what it had stored, in the order in which
it came. So if it has the mark of a time, it has everything that was acknowledged before, and may
have lost what was acknowledged later. If it has the last mark, and has published the last will of
the monitor's former connection, it did not crash in that connection, and nothing is lost.
"""

import json
import logging
from typing import Protocol

from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import ONLINE, Message
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import SCHEMA_VERSION, encode, rfc3339

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""A mark is published at most this often."""
GRACE_S = 2.0
"""The broker delivers the former mark within this time after the login, or has none."""
RESEND_DELAY_S = 5.0
"""Messages are sent again this long after the login, so that subscribers have connected before."""
MAX_RESENT_S = 3600.0
"""Messages that were acknowledged longer ago, before the last acknowledgement, are not sent again:
mosquitto stores what it has every half hour by default."""
FORGOTTEN_S = 60.0
"""The same if the broker has forgotten everything, also the sessions of its subscribers."""
START_TOLERANCE_S = 15.0
"""At the start of the monitor, a mark is the last one if it is older than the last acknowledgement
by less than this."""
MAX_BYTES = 1000


class Acknowledgements(Protocol):
    """The outbox, as far as it is needed here."""

    @property
    def last_acked_ms(self) -> int:
        """Time of the last acknowledgement; 0 if there was none."""

    @property
    def must_send_again(self) -> bool:
        """Whether a call of :meth:`send_again` has not been stored yet."""

    def mark_ms(self) -> int:
        """Return a time such that later acknowledgements are stored with it or a later one."""

    def send_again(self, acked_since_ms: int, delay_s: float) -> None:
        """Send messages again that were acknowledged since a time."""


class DeliveryMark:
    """Publish marks, and compare the one that the broker has at each login.

    All methods are called by the thread that owns the connections; times ``now_s`` are monotonic.

    Parameters
    ----------
    topics
        The node's topics.
    outbox
        What was acknowledged.
    """

    def __init__(self, topics: Topics, outbox: Acknowledgements) -> None:
        self._topics = topics
        self._outbox = outbox
        self._decide_at_s = float("inf")
        self._found_ms: int | None = None
        self._status: bytes | None = None
        self._last_acked_ms = 0
        self._expected_ms: int | None = None
        self._can_read = False
        self._sent_at_s: float | None = None
        self._is_due = False

    @property
    def filters(self) -> list[str]:
        """Topics to receive, also one's own messages, before ``online`` is published."""
        return [self._topics.status, self._topics.delivered]

    def login(self, now_s: float) -> None:
        """Begin a connection."""
        self._decide_at_s = now_s + GRACE_S
        self._found_ms = self._status = self._sent_at_s = None
        self._last_acked_ms = self._outbox.last_acked_ms
        if self._expected_ms is None:
            self._expected_ms = self._last_acked_ms - round(1000 * START_TOLERANCE_S)

    def receive(self, message: Incoming) -> bool:
        """Process a message; return whether it was a mark."""
        if message.topic == self._topics.status and message.retained:
            self._status = message.payload
        if message.topic != self._topics.delivered:
            return False
        if message.retained and self._decide_at_s < float("inf"):
            self._found_ms = parse_mark(message.payload)
        elif not message.retained:
            self._can_read = True
        return True

    def acknowledge(self, message: Message) -> None:
        """Note that the broker has a message of the outbox, or a mark."""
        if message.topic == self._topics.delivered:
            self._expected_ms = parse_mark(message.payload)
        elif message.row is not None:
            self._is_due = True

    def next(self, now_s: float, now: float) -> Message | None:
        """Return the mark that is to be published now; ``now`` in seconds since the epoch."""
        if self.due_in_s(now_s) > 0.0:
            return None
        if self._decide_at_s < float("inf"):
            self._decide()
        if self._outbox.must_send_again:
            return None
        self._sent_at_s, self._is_due = now_s, False
        payload = encode_mark(self._topics.node, self._outbox.mark_ms(), now)
        return Message("retained", self._topics.delivered, payload, 1, retain=True)

    def due_in_s(self, now_s: float) -> float:
        """Return the time until :meth:`next` may return something without a new message."""
        if self._decide_at_s < float("inf"):
            complete = self._found_ms is not None and self._status is not None
            return 0.0 if complete else max(0.0, self._decide_at_s - now_s)
        if self._outbox.must_send_again:
            return 0.1
        if self._sent_at_s is None:
            return 0.0
        return max(0.0, self._sent_at_s + INTERVAL_S - now_s) if self._is_due else float("inf")

    def _decide(self) -> None:
        """Compare what the broker has with what it should have."""
        self._decide_at_s = float("inf")
        since_ms = self._find_loss()
        if since_ms is not None:
            logger.warning(
                "MQTT: the broker seems to have crashed; what it has acknowledged since %s is sent "
                "again",
                rfc3339(since_ms / 1000),
            )
            self._outbox.send_again(since_ms, RESEND_DELAY_S)

    def _find_loss(self) -> int | None:
        """Return since when acknowledged messages may be lost; None if none is."""
        last_ms, found_ms = self._last_acked_ms, self._found_ms
        if not last_ms:
            return None
        if found_ms is None:
            # Unless this connection can read it, a mark that is missing means nothing.
            return last_ms - round(1000 * FORGOTTEN_S) if self._can_read else None
        assert self._expected_ms is not None  # noqa: S101 - set by login()
        if found_ms >= self._expected_ms and self._status != ONLINE:
            return None
        return max(found_ms, last_ms - round(1000 * MAX_RESENT_S))


def encode_mark(node: str, until_ms: int, now: float) -> bytes:
    """Return the payload; ``docs/schemas/delivered.schema.json`` describes it."""
    return encode(
        {"schema": SCHEMA_VERSION, "node": node, "ts": rfc3339(now), "until_ms": until_ms}
    )


def parse_mark(payload: bytes) -> int | None:
    """Return the time in a payload, which any client may have published; None if it has none."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        until_ms = json.loads(payload)["until_ms"]
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        return None
    valid = isinstance(until_ms, int) and not isinstance(until_ms, bool) and 0 <= until_ms < 2**53
    return until_ms if valid else None
