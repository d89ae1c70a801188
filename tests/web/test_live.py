"""The stream of live data: what a page receives, and in which order."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from asd_monitor.evidence.ring import SoundRing
from asd_monitor.records import AudioChunk, State
from asd_monitor.web import live
from asd_monitor.web.archive import Archive
from asd_monitor.web.card_history import KEPT_S, RETRY_S, WRITTEN_S, CardHistories
from asd_monitor.web.live import LiveHub
from asd_monitor.web.spectrum import BANDS, ColumnReader
from asd_monitor.web.state_times import StateTime
from asd_monitor.web.stream import KEEP_ALIVE, QUEUE_FRAMES, Frame, Stream
from tests.rig.raw_http import connect
from tests.rig.web_site import Site, transition, web_site, window


def read_messages(site: Site, query: str, until: str, count: int) -> list[tuple[str, object]]:
    """Return the messages of a stream up to the n-th of a kind."""
    with connect(site.port) as client:
        path = f"/api/v1/live{query}"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while received.count(f"event: {until}\n".encode()) < count:
            if b"event: hello" in received:
                for machine in ("pump", "fan"):
                    site.emit(window(machine, time.time(), 0.8))
                site.emit(transition("fan", State.NORMAL, time.time(), "no change"))
                time.sleep(0.2)
            received += client.recv(100_000)
    body = received.partition(b"\r\n\r\n")[2]
    chunks = []
    while b"\r\n" in body:  # the chunks of the response
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    messages = []
    for text in b"".join(chunks).decode().split("\n\n"):
        name, separator, data = text.removeprefix("event: ").partition("\ndata: ")
        if separator:
            messages.append((name.rpartition(" ")[2], json.loads(data)))
    return messages


def test_a_page_of_all_machines_receives_their_scores_together(tmp_path: Path) -> None:
    with web_site(tmp_path) as site:
        messages = read_messages(site, "", "scores", 2)
    names = [name for name, _ in messages]
    assert "score" not in names
    assert names.count("state") > 2
    scores = next(data for name, data in messages if name == "scores")
    assert isinstance(scores, dict)
    assert {score["machine"] for score in scores["scores"]} == {"pump", "fan"}


def test_a_page_of_one_machine_receives_only_what_concerns_it(tmp_path: Path) -> None:
    with web_site(tmp_path) as site:
        messages = read_messages(site, "?machine=pump", "score", 2)
    following = [(name, data["machine"]) for name, data in messages[1:] if isinstance(data, dict)]
    assert set(following) == {("score", "pump")}


class FakeConnection:
    """A connection whose client may be slow."""

    def __init__(self) -> None:
        self.is_slow = False
        self.written: list[bytes] = []

    def write_chunk(self, chunk: bytes) -> bool:
        if not self.is_slow:
            self.written.append(chunk)
        return not self.is_slow


def test_frames_keep_their_order_while_a_client_becomes_slow_and_fast_again() -> None:
    connection = FakeConnection()

    async def follow() -> list[bytes]:
        stream, sent = Stream("pump", False, connection), list[bytes]()

        async def send() -> None:
            while True:
                sent.append(await stream.get())
                connection.written.append(sent[-1])
                await asyncio.sleep(0)  # until it is written

        task = asyncio.create_task(send())
        for number in range(40):
            connection.is_slow = 10 <= number < 20
            stream.put(Frame(b"%d," % number))
            if number % 3:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)
        task.cancel()
        return sent

    queued = b"".join(asyncio.run(follow()))
    received = b"".join(connection.written).replace(b"\r\n", b" ")
    numbers = [part.split()[-1] for part in received.split(b",") if part.split()]
    assert numbers == [b"%d" % number for number in range(40)]
    assert 10 <= queued.count(b",") < 40  # some were queued, and others written at once


def test_the_oldest_frames_of_a_slow_client_are_dropped() -> None:
    async def fill() -> Stream:
        stream = Stream("pump", False, FakeConnection())  # nothing is written before it is read
        results = [stream.put(Frame(b"%d," % number)) for number in range(QUEUE_FRAMES + 3)]
        assert results == [True] * QUEUE_FRAMES + [False] * 3
        assert (await stream.get()).startswith(b"3,4,")
        return stream

    assert asyncio.run(fill()).dropped == 3


async def read_forever(stream: Stream) -> list[bytes]:
    """Return what a stream's task receives until the stream ends."""
    received = []
    while data := await stream.get():
        received.append(data)
    return received


def test_scores_wait_for_the_next_sending_and_a_change_of_state_takes_them_along() -> None:
    async def emit() -> tuple[list[bytes], list[int]]:
        connection, wakes = FakeConnection(), list[int]()
        loop = asyncio.get_running_loop()

        def call(callback: Callable[[], None]) -> None:
            wakes.append(len(connection.written))
            loop.call_soon(callback)

        hub = LiveHub(call, {})
        stream = hub.open("pump", False, connection)
        assert stream is not None
        task = asyncio.create_task(read_forever(stream))
        await asyncio.sleep(0)
        hub.emit(window("pump", 1.0, 0.8))
        hub.emit(window("fan", 1.0, 0.8))
        assert not wakes
        hub.emit(transition("pump", State.ALARM, 2.0, "louder"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        hub.close(stream)
        return connection.written, wakes

    written, wakes = asyncio.run(emit())
    assert wakes == [0]
    (chunk,) = written
    assert [part.split(b"\n")[0] for part in chunk.split(b"event: ")[1:]] == [b"score", b"state"]


def test_scores_are_sent_without_a_change_of_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEND_INTERVAL_S", 0.01)
    monkeypatch.setattr(live, "SEND_SHIFT_S", 0.0)

    async def emit() -> bytes:
        hub = LiveHub(lambda _callback: None, {})
        stream = hub.open(None, False)
        assert stream is not None
        for machine in ("pump", "fan", "pump"):  # the pump's second score follows too soon
            hub.emit(window(machine, 1.0, 0.8))
        data = await stream.get()
        hub.close(stream)
        return data

    name, _, content = asyncio.run(emit()).partition(b"\ndata: ")
    assert name == b"event: scores"
    assert [score["machine"] for score in json.loads(content)["scores"]] == ["pump", "fan"]


def test_a_quiet_stream_is_kept_open_and_one_of_a_viewer_who_signed_out_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "SEND_INTERVAL_S", 0.01)
    monkeypatch.setattr(live, "KEEP_ALIVE_S", 0.02)

    async def follow() -> list[bytes]:
        hub, is_signed_in = LiveHub(lambda _callback: None, {}), True
        stream = hub.open("pump", False, None, lambda: is_signed_in)
        assert stream is not None
        received = [await stream.get()]
        is_signed_in = False
        received += await read_forever(stream)
        hub.close(stream)
        return received

    received = asyncio.run(follow())
    assert received
    assert set(received) == {KEEP_ALIVE.data}


def test_the_columns_of_the_past_continue_with_those_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "SEND_INTERVAL_S", 0.05)
    monkeypatch.setattr(live, "SEND_SHIFT_S", 0.0)
    ring, rng = SoundRing(16_000), np.random.default_rng(1)
    sound = rng.normal(0, 0.1, 48_000) * np.linspace(0.1, 1, 48_000)

    def play(first: int, end: int) -> None:
        ring.push(AudioChunk(sound[first:end].astype(np.float32), ring.end, 0.0))

    async def follow() -> list[bytes]:
        hub = LiveHub(lambda _callback: None, {"pump": ring})
        play(0, 21_248)
        first = hub.open("pump", True)
        play(21_248, 30_000)
        second = hub.open("pump", True)  # while the columns of the first wait to be computed
        assert first is not None
        assert second is not None
        messages = hub.messages(second, {})
        await anext(messages)
        play(30_000, 48_000)
        columns = [decode_columns(await anext(messages)) for _ in range(2)]
        hub.close(first)
        hub.close(second)
        return columns

    past, following = asyncio.run(follow())
    whole = ColumnReader(ring, len(past + following) // BANDS, (len(sound) // 1600) * 1600).read()
    assert whole is not None
    assert len(following) > 0
    assert (past + following)[-20 * BANDS :] == whole.values.tobytes()[-20 * BANDS :]


def decode_columns(message: bytes) -> bytes:
    """Return the columns of a message."""
    return base64.b64decode(json.loads(message.partition(b"data: ")[2])["data"])


def test_the_history_of_a_card_is_read_again_when_it_has_changed_or_is_old(tmp_path: Path) -> None:
    with web_site(tmp_path) as site:
        now, reads = 1000.0, list[int]()

        def render(_strip: object) -> Markup:
            reads.append(1)
            return Markup("strip")

        histories = CardHistories(Archive(site.folder), render, lambda: now)
        state = StateTime(0.0, "", changed_at=now - 2 * WRITTEN_S)

        def read(state: StateTime) -> int:
            assert histories.of("pump", state, time.time()).strip == "strip"
            return len(reads)

        assert [read(state), read(state)] == [1, 1]
        now += KEPT_S
        assert read(state) == 2
        now += 1.0
        changed = StateTime(0.0, "", changed_at=now)
        assert [read(changed), read(changed)] == [3, 3]
        now += RETRY_S  # the change may not have been written when it was read
        assert read(changed) == 4
        now += WRITTEN_S
        assert read(changed) == 5
        now += WRITTEN_S
        assert read(changed) == 5
