"""Messages are committed and sent while another thread waits for the disk."""

import errno
import os
import threading
from pathlib import Path

import pytest

from asd_monitor.outbox.rows import Lane
from tests.rig.mosquitto import wait_until
from tests.rig.outbox import Clock, draft, make_outbox, put, send_all, wait_for_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_messages_are_committed_and_sent_while_the_disk_is_awaited(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, released = threading.Event(), threading.Event()

    def slow(handle: int) -> None:
        waits.set()
        assert released.wait(60)

    outbox = make_outbox(path)
    outbox.connect()
    monkeypatch.setattr(os, "fdatasync", slow)
    put(outbox, draft(0, Lane.EVENT))
    outbox.maintain()
    assert waits.wait(60)
    put(outbox, draft(1))
    outbox.maintain()
    assert sorted(seq for _, _, seq, _ in send_all(outbox)) == [0, 1]
    released.set()
    wait_for_disk(outbox)
    outbox.close()


def test_an_error_of_the_disk_is_reported_and_the_outbox_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        put(outbox, draft(0, Lane.EVENT))
        outbox.maintain()
        wait_for_disk(outbox)
    outbox.maintain()
    assert outbox.is_degraded
    assert os.strerror(errno.EIO) in caplog.text
    put(outbox, draft(1))
    clock.now_s += 10.0
    put(outbox, draft(2))
    assert not outbox.is_degraded
    outbox.connect()
    put(outbox)
    assert len(send_all(outbox)) == 3
    outbox.close()


def test_the_log_stays_short_although_messages_are_committed_all_the_time(path: Path) -> None:
    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    log = path.with_name(f"{path.name}-wal")
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            put(outbox, draft(number))
            number += 1
            outbox.maintain()
            clock.now_s += 1.0

    def is_begun_again() -> bool:
        """Whether the log has been longer than what it holds: SQLite writes it from its start."""
        return outbox.waiting_scores * 4096 > 2 * log.stat().st_size > 0

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_until(is_begun_again, "the log to be emptied")
    finally:
        ended.set()
        thread.join()
        outbox.close()


def test_closing_an_outbox_ends_its_threads(path: Path) -> None:
    before = threading.active_count()
    outbox = make_outbox(path)
    put(outbox, draft(0, Lane.EVENT))
    outbox.maintain()
    assert threading.active_count() == before + 1
    outbox.close()
    assert threading.active_count() == before
