"""The messages of an outbox that are being sent, and what the broker has answered."""

import threading
from collections.abc import Callable

from asd_monitor.outbox.answers import Answers
from asd_monitor.outbox.lanes import Lanes
from asd_monitor.outbox.replays import Replays, choose_window
from asd_monitor.outbox.report import OutboxReport
from asd_monitor.outbox.rows import Lane, Row
from asd_monitor.outbox.settings import OutboxSettings


class Sending:
    """The part of an outbox that the thread of the network uses; its methods are for any thread.

    Parameters
    ----------
    settings
        How fast a backlog is sent.
    report
        Receives what is refused.
    clock
        Seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        settings: OutboxSettings,
        report: OutboxReport,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._report = report
        self._clock = clock
        self._monotonic = monotonic
        self._replay_per_s = settings.replay_per_s
        self._lock = threading.Lock()  # guards all below
        self._lanes = Lanes(settings.replay_per_s)
        self._new_answers = Answers()
        self._committing = Answers()
        self._unrecorded = Answers()  # of stored messages, while nothing can be written
        self._replays = Replays()
        self._steps_ms = 0
        self._acked_ms = 0  # of the newest acknowledgement; never decreases
        self._lost_since_ms: int | None = None
        self._send_lost_at_s = float("-inf")

    def connect(self) -> None:
        """Hand messages over from now on."""
        with self._lock:
            self._lanes.connect()

    def disconnect(self) -> None:
        """Hand everything over again that was not acknowledged, on the next connection."""
        with self._lock:
            answers = (self._new_answers, self._committing, self._unrecorded)
            self._lanes.disconnect(set().union(*(each.ids() for each in answers)))
            self._replays.clear()

    def next(self, *, max_replays: int, at_once: bool = False) -> tuple[Row, bytes, bool] | None:
        """Return the message that is sent next, its payload, and whether it was sent late.

        Parameters
        ----------
        max_replays
            Messages of the backlog that may be on their way at a time: sent, but not stored as
            acknowledged.
        at_once
            Send the backlog without a limit of its rate.
        """
        with self._lock:
            now_s = self._monotonic()
            may_replay = len(self._replays) < max_replays
            found = self._lanes.next(now_s, may_replay=may_replay, at_once=at_once)
            if found is None:
                return None
            row, replayed = found
            if replayed:
                self._replays.add(row.id, now_s)
            return row, row.encode(replayed=replayed, steps_ms=self._steps_ms), replayed

    def choose_replay_window(self, largest: int) -> int:
        """Return how many messages of the backlog should be on their way at a time.

        Fewer while the broker answers quickly, because they are sent twice after a crash.
        """
        with self._lock:
            return choose_window(self._replay_per_s, self._replays.time_s, largest)

    def due_in_s(self, max_replays: int) -> float:
        """Return the time until :meth:`next` may return something without a new message."""
        with self._lock:
            if len(self._replays) >= max_replays:
                return float("inf")
            return self._lanes.due_in_s(self._monotonic())

    def needs_work(self) -> bool:
        """Return whether the database is to be read or written without a new message."""
        with self._lock:
            return bool(self._lanes.wanting()) or bool(self._new_answers)

    def acknowledge(self, row: Row) -> None:
        """Note that the broker has a message."""
        with self._lock:
            self._new_answers.acked[row.id] = row.lane

    def refuse(self, row: Row) -> None:
        """Note that a message cannot be sent, and count it as dropped."""
        with self._lock:
            self._new_answers.removed[row.id] = row.lane
        is_event = row.lane is Lane.EVENT
        self._report.dropped("refused", int(not is_event), int(is_event))

    @property
    def steps_ms(self) -> int:
        """By how much the clock has been set since the start."""
        return self._steps_ms

    def shift_times(self, step_s: float) -> int:
        """Note that the clock was set; return the sum of all steps, in ms."""
        with self._lock:
            self._steps_ms += round(1000 * step_s)
            return self._steps_ms

    def mark_ms(self) -> int:
        """Return a time such that later acknowledgements are stored with it or a later one."""
        with self._lock:
            self._acked_ms = max(self._acked_ms, round(1000 * self._clock()))
            return self._acked_ms

    @property
    def last_acked_ms(self) -> int:
        """Time of the last acknowledgement, like :meth:`mark_ms`; 0 if there was none."""
        return self._acked_ms

    def send_again(self, acked_since_ms: int, delay_s: float) -> None:
        """Send messages again that were acknowledged since a time of :meth:`mark_ms`.

        Parameters
        ----------
        acked_since_ms
            The time.
        delay_s
            They are sent after this time, so that subscribers can connect before.
        """
        with self._lock:
            earlier_ms = self._lost_since_ms
            self._lost_since_ms = (
                acked_since_ms if earlier_ms is None else min(acked_since_ms, earlier_ms)
            )
            self._send_lost_at_s = self._monotonic() + delay_s

    @property
    def must_send_again(self) -> bool:
        """Whether a call of :meth:`send_again` has not been stored yet."""
        return self._lost_since_ms is not None

    def _handed(self) -> set[int]:
        with self._lock:
            return set(self._lanes.handed)

    def _restart_lanes(self) -> None:
        with self._lock:
            self._lanes.restart()
