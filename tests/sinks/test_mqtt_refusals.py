"""Messages that a broker refuses are found, counted and named, and do not stop the others."""

import logging
from pathlib import Path

import pytest

from asd_monitor.records import State
from asd_monitor.sinks.mqtt.messages import Message
from asd_monitor.sinks.mqtt.refusals import (
    CAREFUL_AFTER_LOSSES,
    RETRY_TOPIC_S,
    SIZE_TOLERANCE_BYTES,
    STRIKES,
    STRIKES_IF_PROVEN,
    Refusals,
    Sent,
    count_packet_bytes,
    make_probe,
)
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import Rig, rig
from tests.rig.records import event, health, scored_window

__all__ = ["rig"]

LIMIT_BYTES = 450
"""Below the size of a score, above that of the other messages."""
CHECK = "asd/plant/check"
STATE = Sent("asd/plant/pump/state", 350)
SCORE = Sent("asd/plant/pump/score", 700)


@pytest.mark.parametrize("option", ["max_packet_size", "message_size_limit"])
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_messages_beyond_the_size_limit_of_the_broker_are_counted_and_the_others_arrive(
    tmp_path: Path, rig: Rig, caplog: pytest.LogCaptureFixture, protocol: str, option: str
) -> None:
    caplog.set_level(logging.WARNING)
    config = f"{option} {LIMIT_BYTES}"
    with Mosquitto(tmp_path, config) as broker, Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, protocol=protocol)
        sequence = 0

        def is_found() -> bool:
            nonlocal sequence
            sink.emit(scored_window(sequence))
            sequence += 1
            return "packets of at most" in caplog.text

        wait_until(is_found, "the cause")
        wait_until(lambda: sink.connected, "the connection")
        reconnects = rig.value("asd_mqtt_reconnects_total")
        sink.emit(event("short", State.NORMAL))
        sink.emit(health())
        refused = rig.value("asd_mqtt_refused_total", reason="size")
        sink.emit(scored_window(sequence))
        wait_until(
            lambda: rig.value("asd_mqtt_refused_total", reason="size") > refused, "the count"
        )
        subscriber.wait_for("pump/health")
        assert rig.value("asd_mqtt_reconnects_total") == reconnects
        assert not subscriber.of("/score")
    assert "access list" not in caplog.text
    assert sink.counts().scores_published <= 2 + CAREFUL_AFTER_LOSSES  # acknowledged all the same


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_forbidden_topic_is_named_and_the_others_arrive(
    tmp_path: Path, rig: Rig, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    caplog.set_level(logging.WARNING)
    acl = tmp_path / "acl"
    allowed = ("status", "info", "check", "pump/state", "pump/health", "pump/availability")
    acl.write_text("topic read #\n" + "".join(f"topic write asd/plant/{t}\n" for t in allowed))
    with Mosquitto(tmp_path, f"acl_file {acl}") as broker, Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, protocol=protocol)
        found = {"3.1.1": "ends the connection when it receives", "5": "refuses messages to"}
        text = f"{found[protocol]} asd/plant/pump/event"

        def is_found() -> bool:
            """Emit another event if the broker acknowledged the former and hung up later."""
            if sink._publisher.waiting == (0, 0):
                sink.emit(event("refused"))
            return text in caplog.text

        wait_until(is_found, "the topic")
        sink.emit(health())
        subscriber.wait_for("pump/health")
        wait_until(lambda: sink.counts().events_dropped >= 1, "the count")
        assert not subscriber.of("/event")
    assert "packets of at most" not in caplog.text


def fail_with(refusals: Refusals, message: Sent, connections: int, *, at_s: float = 0.0) -> None:
    """Let connections end right after this message."""
    for _ in range(connections):
        refusals.begin(None, at_s)
        if refusals.is_careful(at_s):
            refusals.sent(message)
        refusals.lost(at_s)


def test_messages_beyond_an_announced_limit_are_not_sent() -> None:
    refusals = Refusals(CHECK)
    refusals.begin(699, 0.0)
    assert refusals.find_cause(SCORE.topic, SCORE.packet_bytes, 0.0) == "size"
    assert refusals.find_cause(SCORE.topic, 699, 0.0) is None


@pytest.mark.parametrize("limit", [120, 349, 500, 5000])
def test_the_size_limit_is_found_by_messages_to_the_check_topic(limit: int) -> None:
    refusals = Refusals(CHECK)
    message = Sent(SCORE.topic, limit + 300)
    fail_with(refusals, message, CAREFUL_AFTER_LOSSES + STRIKES)
    for _ in range(20):
        refusals.begin(None, 0.0)
        while (size := refusals.next_probe_bytes()) is not None:
            refusals.sent(Sent(CHECK, size))
            if size > limit:
                refusals.lost(0.0)
                break
            refusals.accepted(0.0)
        else:
            break
    assert refusals.find_cause(message.topic, message.packet_bytes, 0.0) == "size"
    assert refusals.find_cause(STATE.topic, limit - SIZE_TOLERANCE_BYTES, 0.0) is None


def test_a_refused_topic_is_tried_again_later() -> None:
    refusals = Refusals(CHECK)
    refusals.prove(SCORE)
    fail_with(refusals, STATE, CAREFUL_AFTER_LOSSES + STRIKES)
    assert refusals.find_cause(STATE.topic, STATE.packet_bytes, 1.0) == "topic"
    assert refusals.find_cause(SCORE.topic, SCORE.packet_bytes, 1.0) is None
    assert refusals.find_cause(STATE.topic, STATE.packet_bytes, RETRY_TOPIC_S + 1.0) is None


def test_a_network_that_fails_does_not_make_an_accepted_message_suspicious() -> None:
    refusals = Refusals(CHECK)
    refusals.prove(SCORE)
    fail_with(refusals, SCORE, CAREFUL_AFTER_LOSSES + STRIKES_IF_PROVEN - 1)
    refusals.begin(None, 0.0)
    assert refusals.next_probe_bytes() is None
    assert refusals.find_cause(SCORE.topic, SCORE.packet_bytes, 0.0) is None


def test_without_a_check_topic_the_message_itself_is_refused() -> None:
    refusals = Refusals(CHECK)
    fail_with(refusals, SCORE, CAREFUL_AFTER_LOSSES + STRIKES)
    refusals.begin(None, 0.0)
    size = refusals.next_probe_bytes()
    assert size is not None
    refusals.sent(Sent(CHECK, size))
    refusals.lost(0.0)
    assert refusals.find_cause(SCORE.topic, SCORE.packet_bytes, 1.0) == "topic"
    refusals.begin(None, 0.0)
    assert refusals.next_probe_bytes() is None


@pytest.mark.parametrize("version5", [False, True])
@pytest.mark.parametrize("size", [100, 127, 130, 131, 500, 20_000])
def test_a_probe_has_the_size_asked_for(size: int, version5: bool) -> None:
    probe: Message = make_probe(CHECK, size, version5=version5)
    packet = count_packet_bytes(CHECK, len(probe.payload), qos=1, version5=version5)
    assert 0 <= packet - size <= 3
