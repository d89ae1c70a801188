"""Few messages of a backlog are on their way at a time: they are sent twice after a crash."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.outbox.replays import Replays, choose_window
from tests.rig.outbox import Clock, draft, make_outbox, put


@given(st.floats(1, 1e4), st.floats(0, 10), st.integers(1, 200))
def test_the_window_is_as_large_as_the_rate_needs_and_never_larger_than_allowed(
    replay_per_s: float, time_s: float, largest: int
) -> None:
    window = choose_window(replay_per_s, time_s, largest)
    assert 1 <= window <= largest
    assert window == largest or window >= replay_per_s * time_s
    assert window - 2 <= replay_per_s * time_s


def test_a_quick_broker_gets_one_message_at_a_time_and_a_slow_one_more() -> None:
    replays = Replays()
    assert choose_window(200.0, replays.time_s, 20) == 1
    for row_id in range(50):
        replays.add(row_id, 0.0)
        assert replays.remove([row_id], 0.1)
    assert choose_window(200.0, replays.time_s, 20) == 20
    assert not replays.remove([0], 1.0)


def test_a_message_is_on_its_way_until_its_acknowledgement_is_stored(tmp_path: Path) -> None:
    clock = Clock()
    outbox = make_outbox(tmp_path / "outbox.db", clock=clock)
    put(outbox, *map(draft, range(10)))
    outbox.connect()
    put(outbox)
    sent = [outbox.next(max_replays=2) for _ in range(3)]
    assert [each is None for each in sent] == [False, False, True]
    assert outbox.due_in_s(2) == float("inf")
    for each in sent[:2]:
        assert each is not None
        outbox.acknowledge(each[0])
    assert outbox.next(max_replays=2) is None
    clock.now_s += 0.02
    assert outbox.commit([])  # says that there is room again
    assert outbox.next(max_replays=2) is not None
    assert outbox.choose_replay_window(100) > 2
    outbox.close()
