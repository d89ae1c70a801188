"""One thread that wakes the readers of all paced sources."""

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SLOT_S = 0.005
AFTER_S = 0.0005
"""A reader comes so much after its audio is due, never before it by a rounding."""


@dataclass(order=True, slots=True)
class _Visit:
    slot: int
    number: int
    wake: Callable[[], None] = field(compare=False)
    began_s: float = field(compare=False)
    every_s: float = field(compare=False)
    count: int = field(compare=False)


class PacedWakeups:
    """Call every added function regularly; the thread exists while there is any.

    A source at the pace of real time computes by itself what is due; it only needs somebody to
    come and ask. Visits that fall into the same slot share one awakening of the thread, so many
    sources cost hardly more than one.

    Parameters
    ----------
    slot_s
        Visits are late by up to so many seconds.
    clock
        Seconds of a clock that never jumps.
    """

    def __init__(self, slot_s: float = SLOT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot_s = slot_s
        self._clock = clock
        self._news = threading.Condition()
        self._visits: list[_Visit] = []
        self._wakes: set[Callable[[], None]] = set()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, wake: Callable[[], None], every_s: float, began_s: float | None = None) -> None:
        """Call ``wake`` every so many seconds from now on; one that is there is moved.

        ``began_s``, a moment of the clock, sets the phase: now, where it is not given.
        """
        with self._news:
            if wake in self._wakes:
                self._drop(wake)
            self._wakes.add(wake)
            now_s, count = self._clock(), 0
            if began_s is not None:
                count = math.floor((now_s - began_s) / every_s) - 1
            began_s = now_s if began_s is None else began_s
            self._plan(_Visit(0, next(self._numbers), wake, began_s, every_s, count))
            self._news.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pacing", daemon=True)
                self._thread.start()

    def remove(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` no more; one that is not there is no mistake."""
        with self._news:
            self._drop(wake)
            self._news.notify()

    def _drop(self, wake: Callable[[], None]) -> None:
        self._wakes.discard(wake)
        self._visits = [each for each in self._visits if each.wake in self._wakes]
        heapq.heapify(self._visits)

    def _plan(self, visit: _Visit) -> None:
        """Set a visit's next slot; those missed meanwhile are left out."""
        passed = math.floor((self._clock() - visit.began_s - AFTER_S) / visit.every_s)
        visit.count = max(visit.count, passed) + 1
        due_s = visit.began_s + visit.count * visit.every_s + AFTER_S
        visit.slot = math.ceil(due_s / self._slot_s)
        heapq.heappush(self._visits, visit)

    def _run(self) -> None:
        while (wakes := self._await_due()) is not None:
            for wake in wakes:
                wake()

    def _await_due(self) -> list[Callable[[], None]] | None:
        """Wait for the next slot with visits and return them; None where nobody is left."""
        with self._news:
            while self._visits:
                left_s = self._visits[0].slot * self._slot_s - self._clock()
                if left_s <= 0:
                    return self._take_due()
                self._news.wait(left_s)
            self._thread = None
            return None

    def _take_due(self) -> list[Callable[[], None]]:
        slot, wakes = int(self._clock() / self._slot_s), []
        while self._visits and self._visits[0].slot <= slot:
            visit = heapq.heappop(self._visits)
            wakes.append(visit.wake)
            self._plan(visit)
        return wakes
