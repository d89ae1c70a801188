"""One thread that wakes the readers of all paced sources."""

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SLOT_S = 0.005
DELAY_S = 0.0005
"""A reader is woken this long after its audio is due, so that rounding never wakes it before."""


@dataclass(order=True, slots=True)
class _Timer:
    """Calls of one function, ordered by the slot of the next one."""

    slot: int
    number: int
    """Breaks ties between timers of the same slot."""
    wake: Callable[[], None] = field(compare=False)
    origin_s: float = field(compare=False)
    interval_s: float = field(compare=False)
    count: int = field(compare=False)
    """Intervals from the origin to the next call."""


class PacedWakeups:
    """Timers that call functions at regular intervals, from one thread.

    A paced source knows by itself how much audio is due; its reader only has to be woken. Calls
    that fall into the same slot share one wake-up of the thread, so many sources cost little more
    than one. The thread exists while there are timers.

    Parameters
    ----------
    slot_s
        Length of a slot; calls are late by up to this many seconds.
    clock
        Monotonic clock in seconds.
    """

    def __init__(self, slot_s: float = SLOT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot_s = slot_s
        self._clock = clock
        self._condition = threading.Condition()
        self._timers: list[_Timer] = []
        self._wakes: set[Callable[[], None]] = set()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(
        self, wake: Callable[[], None], interval_s: float, origin_s: float | None = None
    ) -> None:
        """Call ``wake`` every ``interval_s`` seconds; this replaces an existing timer of ``wake``.

        ``origin_s``, a time of the clock, sets the phase; None: the time of this call.
        """
        with self._condition:
            if wake in self._wakes:
                self._drop(wake)
            self._wakes.add(wake)
            now_s, count = self._clock(), 0
            if origin_s is not None:
                count = math.floor((now_s - origin_s) / interval_s) - 1
            origin_s = now_s if origin_s is None else origin_s
            self._schedule(_Timer(0, next(self._numbers), wake, origin_s, interval_s, count))
            self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pacing", daemon=True)
                self._thread.start()

    def remove(self, wake: Callable[[], None]) -> None:
        """Stop calling ``wake``; does nothing if it has no timer."""
        with self._condition:
            self._drop(wake)
            self._condition.notify()

    def _drop(self, wake: Callable[[], None]) -> None:
        self._wakes.discard(wake)
        self._timers = [timer for timer in self._timers if timer.wake in self._wakes]
        heapq.heapify(self._timers)

    def _schedule(self, timer: _Timer) -> None:
        """Set a timer's next slot; intervals that have passed meanwhile are skipped."""
        passed = math.floor((self._clock() - timer.origin_s - DELAY_S) / timer.interval_s)
        timer.count = max(timer.count, passed) + 1
        due_s = timer.origin_s + timer.count * timer.interval_s + DELAY_S
        timer.slot = math.ceil(due_s / self._slot_s)
        heapq.heappush(self._timers, timer)

    def _run(self) -> None:
        while (wakes := self._wait_for_due()) is not None:
            for wake in wakes:
                wake()

    def _wait_for_due(self) -> list[Callable[[], None]] | None:
        """Wait for the next slot and return the functions to call; None if no timer is left."""
        with self._condition:
            while self._timers:
                remaining_s = self._timers[0].slot * self._slot_s - self._clock()
                if remaining_s <= 0:
                    return self._pop_due()
                self._condition.wait(remaining_s)
            self._thread = None
            return None

    def _pop_due(self) -> list[Callable[[], None]]:
        slot, wakes = int(self._clock() / self._slot_s), []
        while self._timers and self._timers[0].slot <= slot:
            timer = heapq.heappop(self._timers)
            wakes.append(timer.wake)
            self._schedule(timer)
        return wakes
