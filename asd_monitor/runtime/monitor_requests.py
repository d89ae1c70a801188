"""What other threads ask of the inference thread, which does it between two windows."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

STOP_TIMEOUT_S = 3.0


class Kind(IntEnum):
    """Kinds of requests, in the order in which waiting ones are done."""

    EXCHANGE_SINKS = 0
    JOIN = 1
    INSTALL = 2
    ADJUST = 3
    CHANGE = 4
    REMOVE = 5


@dataclass(frozen=True, slots=True)
class Request:
    """Something that the inference thread is to do."""

    kind: Kind
    act: Callable[[], None]
    """Does it."""
    abandon: Callable[[], None] | None = None
    """Called instead if the monitor has stopped before."""
    done: threading.Event = field(default_factory=threading.Event)

    def fulfil(self) -> None:
        """Do it, and wake the thread that waits for it."""
        self.act()
        self.done.set()

    def wait(self) -> None:
        """Wait until it is done, for a limited time."""
        self.done.wait(STOP_TIMEOUT_S)


class Requests:
    """Requests that wait, and the machines whose source has audio or a new state."""

    def __init__(self) -> None:
        self._condition = threading.Condition()  # guards the next two
        self._waiting: list[Request] = []
        self._ready_machines: dict[str, None] = {}

    def put(
        self, kind: Kind, act: Callable[[], None], abandon: Callable[[], None] | None = None
    ) -> Request:
        """Ask for something, and return the request, which can be waited for."""
        request = Request(kind, act, abandon)
        with self._condition:
            self._waiting.append(request)
            self._condition.notify()
        return request

    def mark_ready(self, machine: str) -> None:
        """Note that a machine's source has audio or a new state."""
        with self._condition:
            self._ready_machines[machine] = None
            self._condition.notify()

    def mark_paused(self, machines: Iterable[str]) -> None:
        """Note machines whose sources were not read, and which do not notify again."""
        names = dict.fromkeys(machines)
        with self._condition:
            self._ready_machines.update(names)

    def wake(self) -> None:
        """Let the inference thread look for other work."""
        with self._condition:
            self._condition.notify()

    def take(
        self, timeout_s: float, has_other_work: Callable[[], bool]
    ) -> tuple[list[str], list[Request]]:
        """Wait for work, and return the ready machines and the requests in order.

        Parameters
        ----------
        timeout_s
            Longest time to wait.
        has_other_work
            Whether not to wait, because there is work of another kind.
        """
        with self._condition:
            if not (self._waiting or self._ready_machines or has_other_work()):
                self._condition.wait(timeout_s)
            machines, self._ready_machines = list(self._ready_machines), {}
            requests, self._waiting = self._waiting, []
        return machines, sorted(requests, key=lambda request: request.kind)

    def abandon(self) -> None:
        """Release what requests hold that will not be done any more."""
        with self._condition:
            requests, self._waiting = self._waiting, []
        for request in requests:
            if request.abandon is not None:
                request.abandon()
