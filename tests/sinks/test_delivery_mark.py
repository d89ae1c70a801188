"""What a broker lost after it had acknowledged it is found by a mark, and sent again."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.outbox.rows import Lane, Row
from asd_monitor.sinks.mqtt import delivery_mark
from asd_monitor.sinks.mqtt.delivery_mark import (
    FORGOTTEN_S,
    GRACE_S,
    INTERVAL_S,
    MAX_RESENT_S,
    START_TOLERANCE_S,
    DeliveryMark,
    encode_mark,
    parse_mark,
)
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import OFFLINE, ONLINE, Message
from asd_monitor.sinks.mqtt.topics import Topics
from tests.rig.mosquitto import (
    Collector,
    DurableBroker,
    Mosquitto,
    keep_session,
    wait_until,
)
from tests.rig.mqtt_sinks import Rig, rig
from tests.rig.records import event, scored_window
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["rig"]

START_MS = 1_800_000_000_000
TOPICS = Topics("asd", "plant")
SCORE = Message(
    "score", "s", b"{}", 1, False, Row(1, 1, "plant", Lane.SCORE, "score", "pump", b"{}", 1)
)


@dataclass
class Outbox:
    """Acknowledgements at times that a test sets."""

    last_acked_ms: int = START_MS
    must_send_again: bool = False
    requests: list[int] = field(default_factory=list)

    def mark_ms(self) -> int:
        return self.last_acked_ms

    def send_again(self, acked_since_ms: int, delay_s: float) -> None:
        assert delay_s == delivery_mark.RESEND_DELAY_S
        self.requests.append(acked_since_ms)
        self.must_send_again = True


class Session:
    """A mark and its broker, connection by connection."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.mark = DeliveryMark(TOPICS, outbox)
        self.now_s = 0.0

    def login(self, found_ms: int | None, status: bytes | None) -> Message | None:
        """Log in to a broker that has this mark and status; return what is published."""
        self.now_s += 100.0
        self.mark.login(self.now_s)
        if status is not None:
            self.mark.receive(Incoming(TOPICS.status, status, True))
        if found_ms is not None:
            payload = encode_mark("plant", found_ms, 0.0)
            assert self.mark.receive(Incoming(TOPICS.delivered, payload, True))
        if None in (found_ms, status):
            assert self.mark.due_in_s(self.now_s) == GRACE_S
            assert self.mark.next(self.now_s, 0.0) is None
            self.now_s += GRACE_S
        return self.mark.next(self.now_s, 0.0)

    def deliver(self, message: Message | None) -> None:
        """Let the broker acknowledge the mark and send it back."""
        assert message is not None
        self.mark.acknowledge(message)
        assert self.mark.receive(Incoming(message.topic, message.payload, False))

    def acknowledge_score(self, at_ms: int) -> Message | None:
        """Acknowledge a score; return the mark that follows."""
        self.outbox.last_acked_ms = at_ms
        self.mark.acknowledge(SCORE)
        self.now_s += INTERVAL_S
        return self.mark.next(self.now_s, 0.0)


@pytest.fixture
def session() -> Session:
    """A session whose second connection has ended, in which the last mark is at START_MS + 10."""
    session = Session(Outbox())
    session.deliver(session.login(None, None))
    session.deliver(session.acknowledge_score(START_MS + 10))
    session.outbox.last_acked_ms = START_MS + 20
    return session


def test_nothing_is_sent_again_if_the_broker_has_the_last_mark_and_saw_the_connection_end(
    session: Session,
) -> None:
    assert session.login(START_MS + 10, OFFLINE) is not None
    assert session.outbox.requests == []


@pytest.mark.parametrize(
    ("found_ms", "status", "since_ms"),
    [
        (START_MS + 10, ONLINE, START_MS + 10),  # killed in the connection
        (START_MS, OFFLINE, START_MS),  # an older state
        (START_MS - 10**8, ONLINE, START_MS + 20 - round(1000 * MAX_RESENT_S)),
        (None, None, START_MS + 20 - round(1000 * FORGOTTEN_S)),  # without storage
    ],
)
def test_what_was_acknowledged_since_the_mark_of_a_broker_that_crashed_is_sent_again(
    session: Session, found_ms: int | None, status: bytes | None, since_ms: int
) -> None:
    assert session.login(found_ms, status) is None
    assert session.outbox.requests == [since_ms]
    session.outbox.must_send_again = False  # the request is stored: only now the next mark
    assert session.mark.next(session.now_s, 0.0) is not None


def test_a_broker_on_which_no_mark_can_be_read_is_not_taken_for_one_that_crashed() -> None:
    session = Session(Outbox())
    session.login(None, None)
    session.login(None, ONLINE)
    assert session.outbox.requests == []


@pytest.mark.parametrize(
    ("age_s", "lost"), [(START_TOLERANCE_S - 1, 0), (START_TOLERANCE_S + 1, 1)]
)
def test_a_monitor_that_starts_recognises_that_the_broker_crashed_while_it_was_off(
    age_s: float, lost: int
) -> None:
    session = Session(Outbox())
    session.login(START_MS - round(1000 * age_s), OFFLINE)
    assert len(session.outbox.requests) == lost


def test_marks_are_rare_and_end_when_nothing_more_is_acknowledged(session: Session) -> None:
    assert session.login(START_MS + 10, OFFLINE) is not None
    assert session.mark.due_in_s(session.now_s + 1e6) == float("inf")
    session.mark.acknowledge(SCORE)
    assert session.mark.due_in_s(session.now_s) == INTERVAL_S


@given(st.binary(max_size=50) | st.just(b'{"until_ms": 1e400}') | st.just(b"[1]"))
def test_any_payload_is_a_mark_or_none(payload: bytes) -> None:
    until_ms = parse_mark(payload)
    assert until_ms is None or json.loads(payload)["until_ms"] == until_ms


# --- with mosquitto


def keys(subscriber: Collector) -> list[tuple[int, int]]:
    payloads = [
        json.loads(message.payload)
        for kind in ("/score", "/backlog", "/event")
        for message in subscriber.of(kind)
    ]
    return [(payload["epoch"], payload["seq"]) for payload in payloads]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_mark, "RESEND_DELAY_S", 0.5)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_without_storage_that_is_killed_gets_the_last_messages_again(
    tmp_path: Path, rig: Rig, protocol: str
) -> None:
    """A subscriber that connects only after the backlog was sent receives them as well."""
    with Mosquitto(tmp_path) as broker:
        sink = rig.sink(broker.port, outbox_path=tmp_path / "outbox.db", protocol=protocol)
        with Collector(broker.port, topic="asd/plant/delivered") as marks:
            marks.wait_for("delivered")
        for number in range(20):
            sink.emit(scored_window(number))
        sink.emit(event("e"))
        wait_until(lambda: sink.counts().scores_published == 20, "the acknowledgements")
        broker.kill()
        wait_until(lambda: not sink.connected, "the loss")
        for number in range(20, 30):
            sink.emit(scored_window(number))
        broker.start()
        wait_until(lambda: sink.counts().scores_published == 30, "the backlog")
        with Collector(broker.port) as subscriber:
            wait_until(lambda: len(set(keys(subscriber))) == 31, "everything")
            assert len(subscriber.of("/score")) == 0


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_nothing_is_sent_again_after_a_lost_connection_or_a_restart_of_the_broker(
    tmp_path: Path, rig: Rig, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    caplog.set_level(logging.INFO)
    with DurableBroker(tmp_path) as broker, TcpProxy(broker.port) as proxy:
        sink = rig.sink(proxy.port, outbox_path=tmp_path / "outbox.db", protocol=protocol)
        with Collector(broker.port, configure=keep_session) as subscriber:
            subscriber.wait_for("plant/delivered")
            emitted = 0
            for fault in ("none", "cut", "restart"):
                if fault == "cut":
                    proxy.interrupt()
                    proxy.open()
                elif fault == "restart":
                    broker.stop()
                    broker.start()
                for _ in range(20):
                    sink.emit(scored_window(emitted))
                    emitted += 1
                wait_until(lambda: len(set(keys(subscriber))) == emitted, fault)  # noqa: B023
                wait_until(lambda: sink._publisher.waiting == (0, 0), "the acknowledgements")
            marks = len(subscriber.of("plant/delivered"))
            sink.emit(scored_window(emitted))
            wait_until(lambda: len(subscriber.of("plant/delivered")) > marks, "a later mark")
    assert "sent again" not in caplog.text
