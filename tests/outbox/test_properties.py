"""Whatever happens, every committed message is acknowledged, waits, or was counted as dropped."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.rows import Lane, Row
from asd_monitor.outbox.stored import request_resend
from asd_monitor.outbox.unstored import MemoryLimits
from tests.rig.outbox import Clock, Disk, Report, crash, draft, make_outbox

MEMORY = MemoryLimits(scores=30, events=10)
MAX_MB = 0.09
"""Room for some hundred messages."""
Key = tuple[int, int]


def key_of(row: Row) -> Key:
    return row.epoch, row.seq


class OutboxMachine(RuleBasedStateMachine):
    """Commits, sends, lost acknowledgements, crashes, full disks, and requests to send again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="outbox-")
        self.path = Path(self.folder.name) / "outbox.db"
        self.patch = pytest.MonkeyPatch()
        self.disk = Disk(self.patch)
        self.clock, self.report = Clock(), Report()
        self.number = 0
        self.committed: set[Key] = set()
        self.received: set[Key] = set()
        self.acked: set[Key] = set()
        self.noted: set[Key] = set()  # acknowledged, and not committed so far
        self.in_flight: list[Row] = []
        self.epochs: list[int] = []
        self.connected = False
        self.start()

    def start(self) -> None:
        self.outbox: Outbox = make_outbox(
            self.path, self.report, self.clock, max_mb=MAX_MB, memory=MEMORY
        )
        assert self.outbox.epoch not in self.epochs
        self.epochs.append(self.outbox.epoch)
        self.seq = 0
        self.connected = False
        self.in_flight.clear()

    @rule(lane=st.sampled_from(Lane), count=st.integers(1, 60))
    def put(self, lane: Lane, count: int) -> None:
        drafts = [draft(self.number + each, lane) for each in range(count)]
        self.number += count
        self.outbox.commit([(each, 0) for each in drafts])
        self.committed |= {(self.outbox.epoch, self.seq + each) for each in range(count)}
        self.seq += count
        self._note()

    def _note(self) -> None:
        """Acknowledgements are committed with the messages, if anything is."""
        if not self.outbox.is_degraded:
            self.acked |= self.noted
            self.noted.clear()

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.outbox.connect()
        self.outbox.commit([])
        self._note()
        self.connected = True

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self) -> None:
        self.outbox.disconnect()
        self.connected = False
        self.in_flight.clear()

    @precondition(lambda self: self.connected)
    @rule(count=st.integers(1, 300))
    def send(self, count: int) -> None:
        self.clock.now_s += 1.0
        for _ in range(count):
            found = self.outbox.next(max_replays=50)
            if found is None:
                break
            row = found[0]
            assert key_of(row) in self.committed
            assert row.id not in [each.id for each in self.in_flight]
            self.received.add(key_of(row))
            self.in_flight.append(row)

    @rule(count=st.integers(1, 300))
    def acknowledge(self, count: int) -> None:
        for row in self.in_flight[:count]:
            self.outbox.acknowledge(row)
            self.noted.add(key_of(row))
        del self.in_flight[:count]

    @rule(seconds=st.sampled_from([0.5, 2.0, 60.0, 7200.0]))
    def maintain(self, seconds: float) -> None:
        self.clock.now_s += seconds
        for _ in range(20):
            self.outbox.commit([])
            self._note()
            if not self.outbox.maintain():
                break

    @rule(full=st.booleans())
    def fill_the_disk(self, full: bool) -> None:
        self.disk.fill(full=full)

    @precondition(lambda self: self.connected and self.disk.is_full)
    @rule()
    def send_all_while_the_disk_is_full(self) -> None:
        """What is stored is sent as well as what is not; the acknowledgements are remembered."""
        self.acknowledge(len(self.in_flight))
        for _ in range(100):
            self.send(300)
            self.acknowledge(300)
            self.outbox.commit([])
            self._note()
            if not self.waiting():
                break
        assert self.waiting() == 0

    @rule()
    def crash(self) -> None:
        """Nothing is lost but what could not be stored, as it was said to be in memory only."""
        crash(self.outbox)
        self.committed -= {key_of(row) for row in self.outbox._memory.rows.values()}
        self.received &= self.committed
        self.acked &= self.committed
        self.noted.clear()
        self.clock.now_s += 1.0
        self.start()

    @rule()
    def restart(self) -> None:
        self.disk.fill(full=False)
        self.outbox.close()
        self.acked |= self.noted
        self.noted.clear()
        self.start()

    @precondition(lambda self: not self.disk.is_full and not self.outbox.is_degraded)
    @rule(seconds=st.integers(0, 100))
    def resend(self, seconds: int) -> None:
        request_resend(self.path, round(1000 * (self.clock.now_s - seconds)))
        self.clock.now_s += 2.0
        self.outbox.commit([])
        self._note()
        while self.outbox.maintain():
            pass

    @precondition(lambda self: self.connected)
    @rule(seconds=st.integers(0, 100))
    def broker_crashes(self, seconds: int) -> None:
        self.outbox.send_again(round(1000 * (self.clock.now_s - seconds)), 5.0)

    def waiting(self) -> int:
        return self.outbox.waiting_scores + self.outbox.waiting_events

    @invariant()
    def nothing_is_lost_unseen(self) -> None:
        """Conservation: of each message it is known where it is."""
        dropped = sum(self.report.reasons.values())
        known = len(self.acked | self.noted) + dropped + self.waiting()
        assert known >= len(self.committed)
        assert self.waiting() <= len(self.committed)

    def teardown(self) -> None:
        """Liveness: once disk and broker are there again, everything is sent."""
        try:
            self.disk.fill(full=False)
            self.clock.now_s += 60.0
            self.outbox.commit([])
            if not self.connected:
                self.outbox.connect()
            self.acknowledge(len(self.in_flight))
            for _ in range(100):
                self.clock.now_s += 10.0
                self.outbox.commit([])
                self.outbox.maintain()
                found = self.outbox.next(max_replays=10_000)
                if found is None and self.waiting() == 0:
                    break
                while found is not None:
                    self.received.add(key_of(found[0]))
                    self.outbox.acknowledge(found[0])
                    found = self.outbox.next(max_replays=10_000)
            assert self.waiting() == 0
            lost = self.committed - self.received
            assert len(lost) <= sum(self.report.reasons.values())
            assert self.report.reasons.keys() <= {"full", "memory"}
            self.outbox.close()
        finally:
            self.patch.undo()
            self.folder.cleanup()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.soak
def test_nothing_is_lost_unseen_in_many_more_sequences() -> None:
    run_state_machine_as_test(
        OutboxMachine, settings=settings(max_examples=300, stateful_step_count=100, deadline=None)
    )
