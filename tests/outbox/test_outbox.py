"""Messages are committed, sent, acknowledged, kept, and counted when there is no room for them."""

import json
from pathlib import Path

import pytest

from asd_monitor.errors import StateError
from asd_monitor.outbox import outbox as outbox_module
from asd_monitor.outbox.lanes import BURST, MAX_PRESENT_SCORES
from asd_monitor.outbox.rows import IDS_PER_EPOCH_MS, Lane, next_epoch
from asd_monitor.outbox.stored import count_waiting, delete_of, machines, request_resend
from asd_monitor.outbox.unstored import MemoryLimits
from tests.rig.full_disk import fill, small_disk
from tests.rig.outbox import START_S, Clock, Disk, Report, crash, draft, make_outbox, put, send_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def seqs(sent: list[tuple[str, int, int, bool]]) -> list[int]:
    return [seq for _, _, seq, _ in sent]


def test_a_message_that_was_not_acknowledged_is_sent_after_a_crash_with_its_key(path: Path) -> None:
    first = make_outbox(path)
    put(first, draft(0), draft(1, Lane.EVENT), draft(2))
    first.connect()
    sent = send_all(first, acknowledge=False)
    crash(first)
    second = make_outbox(path)
    put(second, draft(3))
    second.connect()
    again = send_all(second)
    keys = {(node, epoch, seq) for node, epoch, seq, _ in sent}
    assert {(node, epoch, seq) for node, epoch, seq, _ in again} == {
        *keys,
        ("plant", second.epoch, 0),
    }
    assert second.epoch > first.epoch
    assert {late for _, _, _, late in again} == {True}
    second.close()


def test_an_acknowledged_message_is_not_sent_again_after_a_restart(path: Path) -> None:
    first = make_outbox(path)
    first.connect()
    put(first, draft(0), draft(1, Lane.EVENT))
    assert len(send_all(first)) == 2
    first.close()
    second = make_outbox(path)
    second.connect()
    assert send_all(second) == []
    second.close()


def test_an_epoch_is_higher_than_all_before_although_the_clock_was_set_back(path: Path) -> None:
    first = make_outbox(path)
    first.close()
    second = make_outbox(path, clock=Clock(START_S - 1e6))
    assert second.epoch > first.epoch
    second.close()
    assert next_epoch(10, 500 * IDS_PER_EPOCH_MS + 3, 20) == 501


def test_present_scores_are_sent_before_the_backlog_which_is_sent_in_order_at_its_rate(
    path: Path,
) -> None:
    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    outbox._lanes._replay_per_s = 100.0
    put(outbox, *map(draft, range(500)))
    outbox.connect()
    put(outbox, draft(500))
    late: list[int] = []
    present: list[int] = []
    for second in range(5):
        put(outbox, draft(501 + second))
        while (found := outbox.next(max_replays=1000)) is not None:
            row, _, replayed = found
            (late if replayed else present).append(row.seq)
            outbox.acknowledge(row)
        assert present[-1] == 501 + second
        assert len(late) == BURST + 20 * second
        assert outbox.due_in_s(1000) == pytest.approx(0.01, abs=0.005)
        clock.now_s += 0.2
    assert late == list(range(len(late)))
    outbox.close()


def test_events_are_sent_in_order_and_before_the_backlog_of_scores(path: Path) -> None:
    outbox = make_outbox(path)
    put(outbox, *(draft(n, Lane.EVENT if n % 2 else Lane.SCORE) for n in range(10)))
    outbox.connect()
    put(outbox, draft(10, Lane.EVENT))
    sent = send_all(outbox)
    assert [seq for seq in seqs(sent) if seq % 2 or seq == 10] == [1, 3, 5, 7, 9, 10]
    assert seqs(sent)[6:] == [0, 2, 4, 6, 8]
    outbox.close()


def test_more_present_scores_than_a_slow_broker_takes_become_the_backlog(path: Path) -> None:
    outbox = make_outbox(path)
    outbox.connect()
    put(outbox)
    put(outbox, *map(draft, range(MAX_PRESENT_SCORES + 50)))
    sent = send_all(outbox)
    assert seqs(sent)[:MAX_PRESENT_SCORES] == list(range(50, MAX_PRESENT_SCORES + 50))
    assert seqs(sent)[MAX_PRESENT_SCORES:] == list(range(50))
    assert [late for _, _, _, late in sent] == [False] * MAX_PRESENT_SCORES + [True] * 50
    outbox.close()


def test_a_full_outbox_drops_sent_messages_then_scores_then_those_of_alarms_and_never_events(
    path: Path,
) -> None:
    report, clock = Report(), Clock()
    outbox = make_outbox(path, report, clock, max_mb=0.2)
    outbox.connect()
    put(outbox, *map(draft, range(300)))
    assert len(send_all(outbox)) == 300
    outbox.disconnect()
    lanes = (Lane.SCORE, Lane.SCORE, Lane.ALARM_SCORE, Lane.EVENT)
    total = 0
    for _ in range(18):
        put(outbox, *(draft(total + n, lanes[n % 4]) for n in range(200)))
        total += 200
        clock.now_s += 2.0
        while outbox.maintain():
            pass
        if total == 200:
            assert not report.reasons  # what was sent made room
    store = outbox._file.store
    assert store is not None
    assert outbox.size_bytes <= 0.25e6
    assert store.waiting[Lane.EVENT] == total / 4
    assert store.waiting[Lane.SCORE] == 0
    assert 0 < store.waiting[Lane.ALARM_SCORE] < total / 4
    assert report.reasons == {"full": total - outbox.waiting_scores - outbox.waiting_events}
    outbox.connect()
    newest_of_alarm = 300 + total - 2
    assert newest_of_alarm in seqs(send_all(outbox))
    outbox.close()


def test_a_month_of_real_scores_of_a_machine_fits_into_the_default_size(path: Path) -> None:
    from asd_monitor.sinks.mqtt.messages import to_draft
    from asd_monitor.sinks.mqtt.topics import Topics
    from tests.rig.records import scored_window

    outbox = make_outbox(path)
    topics = Topics("asd", "plant")
    for first in range(0, 5000, 500):
        windows = [
            scored_window(
                n, value=0.9 + n % 97 / 7, p_value=1 / (n % 89 + 2), level_dbfs=-30 + n % 83 / 9
            )
            for n in range(first, first + 500)
        ]
        put(outbox, *(to_draft(window, topics, window.score.captured_at) for window in windows))
    store = outbox._file.store
    assert store is not None
    assert store.size_bytes() / 5000 * 86_400 * 28 < 500e6
    outbox.close()


def test_what_the_broker_has_acknowledged_is_sent_again_on_request(path: Path) -> None:
    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    outbox.connect()
    put(outbox, draft(0), draft(1, machine="fan"))
    clock.now_s += 100.0
    put(outbox, draft(2), draft(3, Lane.EVENT), draft(4, machine="fan"))
    assert len(send_all(outbox)) == 5
    assert sorted(machines(path)) == ["fan", "pump"]
    found = request_resend(path, round(1000 * (clock.now_s - 50)), "pump")
    assert (found.scores, found.events, found.oldest_ms) == (1, 1, round(1000 * clock.now_s))
    clock.now_s += 2.0
    while outbox.maintain():
        pass
    put(outbox, draft(5))
    assert [(seq, late) for _, _, seq, late in send_all(outbox)] == [
        (5, False),
        (3, True),
        (2, True),
    ]
    assert send_all(outbox) == []
    outbox.close()


def test_what_a_broker_lost_is_sent_again_once_however_often_it_crashed(path: Path) -> None:
    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    outbox.connect()
    put(outbox, *map(draft, range(10)))
    assert len(send_all(outbox)) == 10
    clock.now_s += 10.0
    since_ms = outbox.mark_ms()
    put(outbox, *map(draft, range(10, 20)))
    assert len(send_all(outbox)) == 10
    outbox.maintain()
    for _crash in range(3):
        clock.now_s += 2.0
        outbox.send_again(since_ms, 5.0)
        assert outbox.must_send_again
        while outbox.maintain():
            pass
        assert not outbox.must_send_again
        since_ms = outbox.mark_ms()
    assert outbox.waiting_scores == 0  # not yet
    crash(outbox)
    clock.now_s += 10.0
    again = make_outbox(path, clock=clock)  # the request survives
    while again.maintain():
        pass
    again.connect()
    put(again)
    assert seqs(send_all(again)) == list(range(10, 20))
    assert send_all(again) == []
    again.close()


def test_a_request_made_while_the_monitor_is_stopped_is_done_at_its_next_start(path: Path) -> None:
    first = make_outbox(path)
    first.connect()
    put(first, *map(draft, range(5000)))
    assert len(send_all(first)) == 5000
    first.close()
    assert request_resend(path, 0).scores == 5000
    second = make_outbox(path, clock=Clock(START_S + 10))
    while second.maintain():
        pass
    assert second.waiting_scores == 5000
    second.connect()
    assert seqs(send_all(second)) == list(range(5000))
    second.close()


def test_acknowledged_messages_are_kept_for_the_replay_time_and_others_for_ever(path: Path) -> None:
    clock = Clock()
    outbox = make_outbox(path, clock=clock)
    outbox.connect()
    put(outbox, draft(0))
    assert len(send_all(outbox)) == 1
    outbox.disconnect()
    put(outbox, draft(1))
    clock.now_s += 7200.0
    while outbox.maintain():
        pass
    assert request_resend(path, 0).scores == 0
    assert outbox.waiting_scores == 1
    outbox.close()


def test_a_set_clock_corrects_the_times_of_what_waits_also_after_a_restart(path: Path) -> None:
    first = make_outbox(path)
    put(first, draft(0))
    assert first.shift_times(3600.0) == 3_600_000
    put(first, draft(1))
    first.connect()
    put(first)
    times = []
    while (found := first.next(max_replays=10)) is not None:
        times.append(json.loads(found[1])["ts"])
    expected = ["2026-11-30T15:00:00.000Z", "2026-11-30T14:00:00.000Z"]
    assert sorted(times) == sorted(expected)
    first.close()
    second = make_outbox(path)
    second.connect()
    put(second)
    assert sorted(json.loads(second.next(max_replays=10)[1])["ts"] for _ in range(2)) == sorted(  # type: ignore[index]
        expected
    )
    second.close()


def test_a_really_full_disk_keeps_messages_in_memory_and_stores_them_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as folder:
        report, clock = Report(), Clock()
        outbox = make_outbox(folder / "outbox.db", report, clock)
        fill(folder / "filler")
        count = 0
        while not outbox.is_degraded:
            put(outbox, *map(draft, range(count, count + 100)))
            count += 100
            assert count < 10_000
        put(outbox, draft(count, Lane.EVENT), *map(draft, range(count + 1, count + 4000)))
        count += 4000
        outbox.connect()
        put(outbox)
        assert set(seqs(send_all(outbox))) == set(range(count))  # stored or not
        assert outbox.waiting_scores == 0
        outbox.disconnect()
        put(outbox, *map(draft, range(count, count + 10)))
        count += 10
        outbox.connect()
        put(outbox)
        assert seqs(send_all(outbox, acknowledge=False)) == list(range(count - 10, count))
        (folder / "filler").unlink()
        clock.now_s += 10.0
        put(outbox)
        assert not outbox.is_degraded
        crash(outbox)
        again = make_outbox(folder / "outbox.db", report, clock)
        again.connect()
        put(again)
        assert seqs(send_all(again)) == list(range(count - 10, count))
        assert not report.reasons
        again.close()


def test_what_waits_is_sent_by_a_monitor_that_starts_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as folder:
        clock = Clock()
        first = make_outbox(folder / "outbox.db", clock=clock)
        put(first, *map(draft, range(500)))
        first.close()
        fill(folder / "filler")
        clock.now_s += 10.0
        outbox = make_outbox(folder / "outbox.db", clock=clock)
        assert outbox.is_degraded
        outbox.connect()
        put(outbox, draft(0))
        assert {epoch for _, epoch, _, _ in send_all(outbox)} == {first.epoch, outbox.epoch}
        assert outbox.waiting_scores == 0
        (folder / "filler").unlink()
        clock.now_s += 10.0
        put(outbox)
        assert not outbox.is_degraded
        assert count_waiting(folder / "outbox.db").scores == 0  # others may use it again
        outbox.close()


def test_while_the_disk_is_full_only_so_many_acknowledgements_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_UNRECORDED", 500)
    clock, disk = Clock(), Disk(monkeypatch)
    outbox = make_outbox(path, clock=clock)
    put(outbox, *map(draft, range(2000)))
    disk.fill()
    number = 2000
    while not outbox.is_degraded:
        put(outbox, draft(number))
        number += 1
    outbox.connect()
    put(outbox, draft(number))
    sent = seqs(send_all(outbox))
    assert 500 < len(sent) < 1500
    assert number in sent
    disk.fill(full=False)
    clock.now_s += 10.0
    put(outbox)
    assert sorted(sent + seqs(send_all(outbox))) == list(range(number + 1))
    outbox.close()


def test_more_than_fits_into_memory_is_dropped_oldest_first_and_counted() -> None:
    report = Report()
    outbox = make_outbox(None, report, memory=MemoryLimits(scores=10, events=5))
    for number in range(0, 40, 2):
        put(outbox, draft(number), draft(number + 1, Lane.EVENT))
    assert report.reasons == {"memory": 10 + 15}
    outbox.connect()
    put(outbox)
    assert sorted(seqs(send_all(outbox))) == sorted([*range(31, 40, 2), *range(20, 40, 2)])
    outbox.close()
    assert report.reasons == {"memory": 25}


def test_a_second_monitor_in_the_same_state_folder_does_not_send_what_is_of_the_first(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_outbox(path)
    put(first, draft(0))
    second = make_outbox(path)
    assert second.is_degraded
    assert "another monitor" in caplog.text
    second.connect()
    put(second, draft(1))
    assert [epoch for _, epoch, _, _ in send_all(second)] == [second.epoch]
    first.close()
    second.close()


def test_messages_of_a_former_node_name_keep_it(path: Path) -> None:
    first = make_outbox(path, node="old")
    put(first, draft(0))
    first.close()
    second = make_outbox(path, node="new")
    put(second, draft(1))
    second.connect()
    put(second)
    assert sorted(node for node, _, _, _ in send_all(second)) == ["new", "old"]
    second.close()


def test_what_waits_of_a_machine_can_be_deleted(path: Path) -> None:
    outbox = make_outbox(path)
    put(outbox, *map(draft, range(10)), draft(10, machine="fan"))
    outbox.close()
    assert count_waiting(path).scores == 11
    assert delete_of(path, "pump", 2**62) == 10
    assert b'"machine":"pump"' not in path.read_bytes()
    assert machines(path) == ["fan"]
    after = make_outbox(path)
    assert after.waiting_scores == 1
    after.close()


def test_a_missing_outbox_is_explained(path: Path) -> None:
    with pytest.raises(StateError, match="no outbox yet"):
        request_resend(path, 0)
