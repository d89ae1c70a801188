"""Which of the waiting messages are sent next; the caller holds the lock."""

from collections import deque
from collections.abc import Collection, Sequence

from asd_monitor.outbox.rows import Lane, Row

MAX_PRESENT_SCORES = 1000
"""Of more scores that wait for a slow broker, the oldest are left to the backlog."""
REFILL_BELOW = 100
PAGE_ROWS = 200
BURST = 20.0
"""Scores of the backlog that are sent at once after a pause."""
SCORE_LANES = (Lane.SCORE, Lane.ALARM_SCORE)
EVENT_LANES = (Lane.EVENT,)


class Reader:
    """A position in the waiting messages of some lanes: those before it have been handed over."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        self.after_id = 0
        self.is_behind = True
        """Whether messages may wait that have not been handed over."""
        self.queue: deque[tuple[Row, bool]] = deque()
        """Messages that were handed over, and whether they were read from those that wait."""

    def restart(self, before_id: int = 0) -> None:
        """Look again for messages that wait, from this id on."""
        self.after_id = min(self.after_id, max(before_id - 1, 0))
        self.is_behind = True


class Lanes:
    """Messages that were handed over to be sent on the present connection.

    Scores made while connected are sent at once. Older ones are the *backlog*, which is sent in
    order and at a limited rate. Events are always sent in order.

    Parameters
    ----------
    replay_per_s
        Scores of the backlog that are sent per second.
    """

    def __init__(self, replay_per_s: float) -> None:
        self.connected = False
        self.generation = 0
        """Changes with every connection."""
        self.handed: set[int] = set()
        """Messages that must not be read again: they are being sent, or were acknowledged."""
        self.scores: deque[Row] = deque()
        self.replay = Reader(SCORE_LANES)
        self.events = Reader(EVENT_LANES)
        self._replay_per_s = replay_per_s
        self._allowance = BURST
        self._allowance_at_s = 0.0

    def connect(self) -> None:
        """Hand messages over from now on."""
        self.connected = True
        self.generation += 1

    def disconnect(self, done: Collection[int]) -> None:
        """Take back what was handed over, except messages that were acknowledged."""
        self.connected = False
        self.generation += 1
        self.scores.clear()
        for reader in (self.replay, self.events):
            reader.queue.clear()
            reader.restart()
        self.handed = set(done)

    def restart(self) -> None:
        """Look again for messages that wait, as after some were to be sent again."""
        self.replay.restart()
        self.events.restart()

    def offer(self, row: Row) -> None:
        """Hand over a new message, or leave it to be read later."""
        reader = self.events if row.lane is Lane.EVENT else self.replay
        if not self.connected or (row.lane is Lane.EVENT and reader.is_behind):
            reader.restart(row.id)
            return
        self.handed.add(row.id)
        if row.lane is Lane.EVENT:
            reader.queue.append((row, False))
            return
        self.scores.append(row)
        if len(self.scores) > MAX_PRESENT_SCORES:
            oldest = self.scores.popleft()
            self.handed.discard(oldest.id)
            reader.restart(oldest.id)

    def wanting(self) -> list[Reader]:
        """Return the readers that have room for more of the messages that wait."""
        if not self.connected:
            return []
        readers = (self.events, self.replay)
        return [each for each in readers if each.is_behind and len(each.queue) < REFILL_BELOW]

    def append(self, reader: Reader, rows: Sequence[Row], *, complete: bool) -> None:
        """Hand over what was read; ``complete`` if nothing else waits."""
        for row in rows:
            if row.id not in self.handed:
                self.handed.add(row.id)
                reader.queue.append((row, True))
        if rows:
            reader.after_id = rows[-1].id
        reader.is_behind = not complete

    def next(
        self, now_s: float, *, may_replay: bool, at_once: bool = False
    ) -> tuple[Row, bool] | None:
        """Remove and return what is sent next, and whether it was sent late.

        Parameters
        ----------
        now_s
            Monotonic time.
        may_replay
            False: there is no room for the backlog.
        at_once
            Send the backlog without a limit of its rate.
        """
        events, replay = self.events.queue, self.replay.queue
        if events and not events[0][1]:
            return events.popleft()
        if self.scores:
            return self.scores.popleft(), False
        if events and may_replay:
            return events.popleft()
        if not replay or not may_replay:
            return None
        self._allow(now_s)
        if not at_once:
            if self._allowance < 1.0:
                return None
            self._allowance -= 1.0
        return replay.popleft()

    def _allow(self, now_s: float) -> None:
        earned = (now_s - self._allowance_at_s) * self._replay_per_s
        self._allowance = min(BURST, self._allowance + earned)
        self._allowance_at_s = now_s

    def due_in_s(self, now_s: float) -> float:
        """Return the time until the next score of the backlog may be sent; infinite without any."""
        if not self.replay.queue:
            return float("inf")
        self._allow(now_s)
        return max(0.0, (1.0 - self._allowance) / self._replay_per_s)
