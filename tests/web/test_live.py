"""The stream of live data: what a page receives, and in which order."""

import asyncio
import json
import time
from pathlib import Path

from markupsafe import Markup

from asd_monitor.records import State
from asd_monitor.web.archive import Archive
from asd_monitor.web.card_history import KEPT_S, RETRY_S, WRITTEN_S, CardHistories
from asd_monitor.web.state_times import StateTime
from asd_monitor.web.stream import QUEUE_FRAMES, Frame, Stream
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
