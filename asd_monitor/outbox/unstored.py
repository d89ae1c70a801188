"""Messages that are not stored, up to a limit."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from asd_monitor.outbox.lanes import EVENT_LANES, SCORE_LANES
from asd_monitor.outbox.report import DropReason, OutboxReport
from asd_monitor.outbox.rows import Lane, Row


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How many messages are kept in memory while they cannot be stored."""

    scores: int = 10_000
    events: int = 1000


class UnstoredMessages:
    """Messages in memory: new ones for a moment, or while they cannot be stored.

    They are changed by one thread; :meth:`ids` and :meth:`count` are for any.

    Parameters
    ----------
    limits
        How many are kept.
    report
        Receives what is dropped.
    """

    def __init__(self, limits: MemoryLimits, report: OutboxReport) -> None:
        self.rows: dict[int, Row] = {}
        """By id, in their order."""
        self._limits = limits
        self._report = report

    def ids(self) -> list[int]:
        """Return the ids."""
        return list(self.rows)

    def count(self, lane: Lane) -> int:
        """Return the number of messages of a lane."""
        return sum(row.lane is lane for row in list(self.rows.values()))

    def load(self, lanes: Sequence[Lane], after_id: int) -> list[Row]:
        """Return the messages of these lanes with a higher id."""
        return [row for row in self.rows.values() if row.lane in lanes and row.id > after_id]

    def trim(self, handed: Callable[[], Container[int]]) -> None:
        """Drop the oldest messages beyond the limits, but none that is being sent."""
        for lanes, limit in (
            (SCORE_LANES, self._limits.scores),
            (EVENT_LANES, self._limits.events),
        ):
            ids = [row.id for row in self.rows.values() if row.lane in lanes]
            if len(ids) <= limit:
                continue
            sending = handed()
            idle = [row_id for row_id in ids if row_id not in sending]
            dropped = idle[: len(ids) - limit]
            for row_id in dropped:
                del self.rows[row_id]
            is_event = lanes is EVENT_LANES
            self._report.dropped(
                "memory", 0 if is_event else len(dropped), len(dropped) if is_event else 0
            )

    def drop(self, reason: DropReason) -> None:
        """Drop all messages."""
        events = self.count(Lane.EVENT)
        scores = len(self.rows) - events
        self.rows.clear()
        if scores or events:
            self._report.dropped(reason, scores, events)
