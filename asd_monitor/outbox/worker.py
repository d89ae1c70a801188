"""The thread that commits messages, so that neither monitor nor network waits for the disk."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.rows import Draft
from asd_monitor.records import Record

logger = logging.getLogger(__name__)

IDLE_INTERVAL_S = 1.0
"""The database is kept in order after this time, also if nothing is committed."""
MAX_QUEUED = 20_000
"""Messages that wait for a stalled disk; of more, the oldest are dropped."""
CLOSE_TIMEOUT_S = 5.0


class OutboxWorker:
    """Encode records and commit them to an outbox, in a thread of its own.

    Parameters
    ----------
    outbox
        Where messages go; the thread opens and closes it.
    encode
        Return the message of a record.
    is_event
        Return whether a record is an event, not a score.
    handed_over
        Called when messages may have been handed over.
    failed
        Called with a record that cannot be encoded.
    dropped
        Called with the numbers of scores and events that were not committed.
    """

    def __init__(
        self,
        outbox: Outbox,
        encode: Callable[[Record], Draft],
        is_event: Callable[[Record], bool],
        handed_over: Callable[[], None],
        failed: Callable[[Record], None],
        dropped: Callable[[int, int], None],
    ) -> None:
        self.outbox = outbox
        self._encode = encode
        self._is_event = is_event
        self._handed_over = handed_over
        self._failed = failed
        self._dropped = dropped
        self._condition = threading.Condition()
        self._queue: deque[tuple[Record, int]] = deque()
        self._busy = True  # until the outbox is open
        self._woken = self._closing = self._ending = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, record: Record) -> None:
        """Queue a record; returns at once."""
        dropped: Record | None = None
        with self._condition:
            if self._closing:
                dropped = record
            else:
                self._queue.append((record, self.outbox.steps_ms))
                if len(self._queue) > MAX_QUEUED:
                    dropped = self._queue.popleft()[0]
                if len(self._queue) == 1:  # else the thread has been woken already
                    self._condition.notify()
        if dropped is not None:
            self._count_dropped(dropped)

    def wake(self) -> None:
        """Let the thread hand over more, after a connection or an acknowledgement."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    @property
    def has_queued(self) -> bool:
        """Whether records have not been committed yet."""
        with self._condition:
            return bool(self._queue) or self._busy

    def stop_accepting(self) -> None:
        """Count all further records as dropped."""
        with self._condition:
            self._closing = True
            self._condition.notify()

    def close(self) -> None:
        """Commit what is queued, and close the outbox; may be called twice."""
        self.stop_accepting()
        with self._condition:
            self._ending = True
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        self.outbox.open()
        more = False
        while True:
            with self._condition:
                self._busy = False
                if not more:
                    self._condition.wait_for(self._has_work, IDLE_INTERVAL_S)
                self._woken = False
                queued = list(self._queue)
                self._queue.clear()
                self._busy = True
                ending = self._ending
            more = self._work(queued)
            if ending:
                break
        self.outbox.close()
        with self._condition:
            self._busy = False

    def _has_work(self) -> bool:
        return bool(self._queue) or self._woken or self._ending

    def _work(self, queued: list[tuple[Record, int]]) -> bool:
        """Commit records and hand messages over; return whether more is to be done at once."""
        drafts = []
        for record, steps_ms in queued:
            try:
                drafts.append((self._encode(record), steps_ms))
            except (TypeError, ValueError):
                logger.exception("MQTT: a record cannot be published: %r", record)
                self._failed(record)
                self._count_dropped(record)
        try:
            if self.outbox.commit(drafts):
                self._handed_over()
            return self.outbox.maintain() or self.outbox.needs_work()
        except Exception:  # nothing may end this thread
            logger.exception("the outbox failed")
            self.outbox.discard_unstored()
            return False

    def _count_dropped(self, record: Record) -> None:
        event = self._is_event(record)
        self._dropped(int(not event), int(event))
