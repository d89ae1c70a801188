"""Real processes and brokers that are killed: every committed message is received."""

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import StateError
from asd_monitor.outbox.stored import Selection, count_waiting
from asd_monitor.sinks.mqtt import delivery_mark
from tests.rig.mosquitto import Collector, DurableBroker, Mosquitto, keep_session, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT, Rig, rig
from tests.rig.records import event, scored_window
from tests.rig.sink_process import SinkProcess, is_intact, read_keys
from tests.rig.tcp_proxy import TcpProxy

__all__ = ["rig"]

Key = tuple[int, int]
BURST = 300


def keys(subscriber: Collector) -> list[Key]:
    """Return epoch and seq of everything that was received."""
    messages = [
        message for kind in ("/score", "/backlog", "/event") for message in subscriber.of(kind)
    ]
    return [(each["epoch"], each["seq"]) for each in (json.loads(m.payload) for m in messages)]


def received_seqs(subscriber: Collector) -> set[int]:
    return {seq for _, seq in keys(subscriber)}


def waiting(outbox: Path) -> Selection:
    """Return what waits in an outbox; nothing before it exists."""
    try:
        return count_waiting(outbox)
    except StateError:
        return Selection(0, 0, None)


def kill_again_and_again(
    folder: Path, kills: int, broker_every: int, rate_hz: float = 200.0, longest_s: float = 0.6
) -> tuple[set[Key], list[Key]]:
    """Kill the sink's process at random moments; return what was committed and received.

    The broker keeps the session of the subscriber, so that what it has acknowledged is delivered
    after its restart, too.
    """
    outbox, rng = folder / "outbox.db", random.Random(1)  # noqa: S311 - a reproducible test
    broker = DurableBroker(folder)
    with broker, Collector(broker.port, topic="asd/#", configure=keep_session) as subscriber:
        settings: dict[str, Any] = FAST_RECONNECT | {"port": broker.port}
        for number in range(kills):
            process = SinkProcess(outbox, settings, rate_hz)
            time.sleep(rng.uniform(0.05, longest_s))
            if number % broker_every == broker_every - 1:
                broker.stop()
                time.sleep(rng.uniform(0.0, 0.3))
                process.end(signal.SIGKILL)
                broker.start()
            else:
                process.end(signal.SIGKILL)
            assert is_intact(outbox)
        process = SinkProcess(outbox, settings, rate_hz=1.0)
        # All but what the process sends when it is stopped, which does not include a backlog.
        wait_until(lambda: not read_keys(outbox, "acked_ms IS NULL"), "the backlog")
        assert process.end(signal.SIGINT) == 0
        committed = read_keys(outbox)
        wait_until(lambda: committed <= set(keys(subscriber)), "everything")
        return committed, keys(subscriber)


def check_keys(committed: set[Key], received: list[Key]) -> None:
    """Every committed message was received; no gap in any epoch; few duplicates."""
    assert committed <= set(received)
    for epoch in {epoch for epoch, _ in committed}:
        seqs = sorted(seq for each, seq in committed if each == epoch)
        assert seqs == list(range(len(seqs)))


def test_everything_committed_is_received_although_the_process_is_killed_at_random_moments(
    tmp_path: Path,
) -> None:
    committed, received = kill_again_and_again(tmp_path, kills=5, broker_every=3)
    check_keys(committed, received)
    assert len({epoch for epoch, _ in committed}) >= 5


@pytest.mark.soak
@pytest.mark.parametrize(
    ("rate_hz", "longest_s", "max_duplicates"), [(40.0, 5.5, 0.02), (200.0, 0.6, 0.2)]
)
def test_everything_committed_is_received_over_a_hundred_kills_and_ten_broker_restarts(
    tmp_path: Path, rate_hz: float, longest_s: float, max_duplicates: float
) -> None:
    committed, received = kill_again_and_again(tmp_path, 100, 10, rate_hz, longest_s)
    check_keys(committed, received)
    duplicates = len(received) - len(set(received))
    print(f"{len(committed)} committed, {len(received)} received, {duplicates} duplicates")
    assert len(committed) > 1000
    assert duplicates < max_duplicates * len(committed)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_killed_in_a_burst_gets_what_it_had_acknowledged_and_not_stored_again(
    tmp_path: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """With the example configuration; it acknowledges a moment before it stores."""
    monkeypatch.setattr(delivery_mark, "RESEND_DELAY_S", 0.5)
    outbox, settings = tmp_path / "outbox.db", {"replay_per_s": 10_000}
    with DurableBroker(tmp_path) as broker:
        with Collector(broker.port, topic="asd/#", configure=keep_session) as subscriber:
            sink = rig.sink(broker.port, outbox_path=outbox, outbox=settings, protocol=protocol)
            subscriber.wait_for("plant/delivered")  # then its session remains
        for number in range(BURST):
            sink.emit(scored_window(number))
        wait_until(lambda: sink.counts().scores_published >= BURST // 3, "acknowledgements")
        broker.kill()
        wait_until(lambda: not sink.connected, "the loss")
        broker.start()
        with Collector(broker.port, topic="asd/#", configure=keep_session) as subscriber:
            wait_until(lambda: received_seqs(subscriber) == set(range(BURST)), "everything")


def test_an_alarm_raised_without_the_broker_is_received_although_the_process_dies(
    tmp_path: Path,
) -> None:
    outbox, broker = tmp_path / "outbox.db", Mosquitto(tmp_path)
    settings = FAST_RECONNECT | {"port": broker.port}
    process = SinkProcess(outbox, settings)
    wait_until(lambda: waiting(outbox).events >= 1, "an alarm")
    process.end(signal.SIGKILL)
    committed = read_keys(outbox)
    with broker, Collector(broker.port) as subscriber:
        process = SinkProcess(outbox, settings, rate_hz=1.0)
        subscriber.wait_for("/pump/event")
        wait_until(lambda: committed <= set(keys(subscriber)), "everything")
        assert process.end(signal.SIGINT) == 0
        alarm = json.loads(subscriber.of("/pump/event")[0].payload)
    assert (alarm["state"], alarm["replayed"]) == ("ALARM", True)


def test_a_stop_with_a_backlog_is_quick_and_keeps_it(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    process = SinkProcess(outbox, FAST_RECONNECT | {"port": Mosquitto(tmp_path).port})
    wait_until(lambda: waiting(outbox).scores >= 50, "a backlog")
    assert process.end(signal.SIGINT) == 0
    left = count_waiting(outbox)
    assert len(read_keys(outbox, "acked_ms IS NULL")) == left.scores + left.events
    seqs = sorted(seq for _, seq in read_keys(outbox))
    assert seqs == list(range(len(seqs)))


def test_what_a_broker_has_lost_after_acknowledging_it_is_sent_again_by_a_running_monitor(
    tmp_path: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = tmp_path / "outbox.db"
    monkeypatch.setattr(delivery_mark, "FORGOTTEN_S", 0.0)  # only on request
    with Mosquitto(tmp_path) as broker:  # without persistence
        sink = rig.sink(broker.port, outbox_path=outbox)
        for number in range(300):
            sink.emit(scored_window(number))
        sink.emit(event("e"))
        wait_until(lambda: sink.counts().scores_published == 300, "the acknowledgements")
        broker.kill()
        broker.start()
        wait_until(lambda: sink.connected, "the connection")
        resend = ["resend", "--since", "1970-01-02", "--state-dir", str(tmp_path)]
        with Collector(broker.port) as subscriber:
            wait_until(
                lambda: "300 scores and 1 event" in CliRunner().invoke(create_app(), resend).output,
                "the commits",
            )
            subscriber.wait_for("/backlog", 300)
            subscriber.wait_for("/event")
            assert {seq for _, seq in keys(subscriber)} == set(range(301))


def test_present_scores_arrive_while_a_long_backlog_is_sent(tmp_path: Path, rig: Rig) -> None:
    broker = Mosquitto(tmp_path)
    sink = rig.sink(broker.port, connect=False, outbox_path=tmp_path / "outbox.db")
    for number in range(3000):
        sink.emit(scored_window(number))
    # Not the length of the queue: messages are counted before they are handed over.
    wait_until(lambda: not sink._publisher._worker.has_queued, "the commits")
    assert sink._publisher.waiting == (3000, 0)
    with broker, Collector(broker.port) as subscriber:
        wait_until(lambda: sink.connected, "the connection")
        for number in range(3000, 3005):
            sink.emit(scored_window(number))
            subscriber.wait_for("/score", number - 2999)
        present = [json.loads(message.payload)["window"] for message in subscriber.of("/score")]
        assert present == list(range(3000, 3005))
        assert len(subscriber.of("/backlog")) < 3000
    assert sink.counts().scores_dropped == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_is_frozen_and_then_cut_off_gets_everything(
    tmp_path: Path, rig: Rig, protocol: str
) -> None:
    with Mosquitto(tmp_path) as broker, TcpProxy(broker.port) as proxy:
        sink = rig.sink(
            proxy.port,
            protocol=protocol,
            ack_timeout_s=1.0,
            outbox_path=tmp_path / "outbox.db",
            outbox={"replay_per_s": 10_000},
        )
        with Collector(broker.port) as subscriber:
            emitted = 0

            def emit(count: int) -> None:
                nonlocal emitted
                for _ in range(count):
                    sink.emit(scored_window(emitted))
                    emitted += 1

            emit(50)
            broker.freeze()
            emit(50)
            wait_until(lambda: not sink.connected, "the loss")
            broker.thaw()
            wait_until(lambda: sink.connected, "the connection")
            proxy.interrupt()
            emit(50)
            proxy.open()
            wait_until(lambda: sink.counts().scores_published == emitted, "the backlog")
            received = {seq for _, seq in keys(subscriber)}
    assert received == set(range(emitted))
