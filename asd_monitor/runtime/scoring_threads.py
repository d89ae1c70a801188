"""Call models in several threads; results are taken in the order of the calls."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from itertools import chain, count
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")

CLOSE_TIMEOUT_S = 2.0


class ScoringThreads:
    """Threads that share the calls of a round with the thread that scores.

    Models compute without the interpreter's lock, so calls of several models run at the same time.
    The threads are started by the first round of several groups.

    Parameters
    ----------
    workers
        Number of threads that call models, including the one that calls :meth:`run`; 1: no others.
    """

    def __init__(self, workers: int = 1) -> None:
        self._helpers = workers - 1
        self._threads: list[threading.Thread] = []
        self._shares: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(
        self, groups: Sequence[Sequence[Callable[[], Result]]]
    ) -> Generator[Result, None, None]:
        """Yield the results of groups of calls, in order; used by one thread.

        The calls of a group are done one after the other, those of several groups at the same
        time. An exception of a call is raised where its result would be. The calls that have not
        begun are abandoned then, and when the caller takes no more results.
        """
        helpers = min(self._helpers, len(groups) - 1)
        if helpers < 1:
            for call in chain.from_iterable(groups):
                yield call()
            return
        self._start()
        shared = _SharedCalls(groups)
        for _ in range(helpers):
            self._shares.put(shared.work)
        try:
            for index in range(sum(map(len, groups))):
                yield shared.take(index)
        finally:
            shared.abandon()

    def _start(self) -> None:
        for number in range(len(self._threads), self._helpers):
            # The name begins as that of the inference thread, whose work it does.
            thread = threading.Thread(
                target=self._work, name=f"inference-{number + 2}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (work := self._shares.get()) is not None:
            work()

    def close(self) -> None:
        """End the threads; one whose call never returns is left, as a daemon thread."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._shares.put(None)
        for thread in threads:
            thread.join(CLOSE_TIMEOUT_S)


class _SharedCalls(Generic[Result]):
    """The groups of a round, each of which one of several threads calls."""

    def __init__(self, groups: Sequence[Sequence[Callable[[], Result]]]) -> None:
        numbers = count()
        self._waiting = deque([(next(numbers), call) for call in group] for group in groups)
        self._own: deque[tuple[int, Callable[[], Result]]] = deque()
        """What is left of the group that is done by the thread which takes the results."""
        self._results: dict[int, Result | Exception] = {}
        self._done = threading.Condition()
        self._is_abandoned = False

    def work(self) -> None:
        """Do groups until all have been begun."""
        while (group := self._next_group()) is not None:
            for index, call in group:
                if self._is_abandoned:
                    return
                self._do(index, call)

    def take(self, index: int) -> Result:
        """Return a result, or raise what the call raised; do other calls until it is there."""
        while index not in self._results and (self._own or self._begin_group()):
            self._do(*self._own.popleft())
        with self._done:
            self._done.wait_for(lambda: index in self._results)
        result = self._results.pop(index)
        if isinstance(result, Exception):
            raise result
        return result

    def abandon(self) -> None:
        """Leave out the calls that have not begun."""
        self._is_abandoned = True
        self._waiting.clear()

    def _begin_group(self) -> bool:
        """Let the thread that takes the results do a group; return whether there was one."""
        self._own.extend(self._next_group() or ())
        return bool(self._own)

    def _next_group(self) -> "list[tuple[int, Callable[[], Result]]] | None":
        """Return the first group that has not begun; None if there is none."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _do(self, index: int, call: Callable[[], Result]) -> None:
        result: Result | Exception
        try:
            result = call()
        except Exception as error:  # raised in the thread that takes the results
            result = error
        with self._done:
            self._results[index] = result
            self._done.notify()
