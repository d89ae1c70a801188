"""What waits to be written, in order and bounded."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asd_monitor.history.records import Event, EventNote, Shelf
from asd_monitor.records import ScoredWindow, Transition

MAX_SCORES = 10_000
MAX_CHANGES = 10_000


@dataclass(frozen=True, slots=True)
class EventChange:
    """New values of fields of an event."""

    event_id: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShelfEnd:
    """The end of all shelves of a machine."""

    machine: str
    at_s: float


Item = ScoredWindow | Transition | Event | EventChange | EventNote | Shelf | ShelfEnd


class WriteQueue:
    """A queue that never blocks the caller; scores are dropped before anything else.

    Parameters
    ----------
    max_scores
        Scores that are kept; of more, the oldest are dropped.
    max_changes
        The same for transitions, events and notes.
    """

    def __init__(self, max_scores: int = MAX_SCORES, max_changes: int = MAX_CHANGES) -> None:
        self._max_scores = max_scores
        self._max_changes = max_changes
        self._number = 0
        self._scores = deque[tuple[int, Item]]()
        self._changes = deque[tuple[int, Item]]()
        self.condition = threading.Condition()
        """Guards the queue; notified when it was empty and is not any more."""

    def __len__(self) -> int:
        return len(self._scores) + len(self._changes)

    def put(self, item: Item) -> int:
        """Add an item; return how many were dropped."""
        with self.condition:
            was_empty = not self
            self._number += 1
            queue = self._scores if isinstance(item, ScoredWindow) else self._changes
            queue.append((self._number, item))
            dropped = self._drop()
            if was_empty:
                self.condition.notify_all()
        return dropped

    def take(self) -> list[tuple[int, Item]]:
        """Remove and return everything, in the order in which it was added."""
        with self.condition:
            entries = sorted([*self._scores, *self._changes], key=lambda entry: entry[0])
            self._scores.clear()
            self._changes.clear()
        return entries

    def put_back(self, entries: Sequence[tuple[int, Item]]) -> int:
        """Add entries again that could not be written; return how many items were dropped."""
        with self.condition:
            for entry in reversed(entries):
                is_score = isinstance(entry[1], ScoredWindow)
                (self._scores if is_score else self._changes).appendleft(entry)
            return self._drop()

    def _drop(self) -> int:
        dropped = 0
        for queue, limit in ((self._scores, self._max_scores), (self._changes, self._max_changes)):
            while len(queue) > limit:
                queue.popleft()
                dropped += 1
        return dropped
