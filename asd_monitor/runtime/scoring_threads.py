"""Call models in several threads; results are taken in the order of the calls."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")

CLOSE_TIMEOUT_S = 2.0


class ScoringThreads:
    """Threads that share the calls of a round with the thread that scores.

    Models compute without the interpreter's lock, so their calls run at the same time. The threads
    are started by the first round of several calls.

    Parameters
    ----------
    workers
        Number of threads that call models, including the one that calls :meth:`run`; 1: no others.
    """

    def __init__(self, workers: int = 1) -> None:
        self._helpers = workers - 1
        self._threads: list[threading.Thread] = []
        self._shares: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self, calls: Sequence[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield the result of each call, in order; used by one thread.

        The calls of one round must not depend on each other. An exception of a call is raised
        where its result would be. The calls that have not begun are abandoned then, and when the
        caller takes no more results.
        """
        helpers = min(self._helpers, len(calls) - 1)
        if helpers < 1:
            for call in calls:
                yield call()
            return
        self._start()
        shared = _SharedCalls(calls)
        for _ in range(helpers):
            self._shares.put(shared.work)
        try:
            for index in range(len(calls)):
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
    """The calls of a round, each of which one of several threads does."""

    def __init__(self, calls: Sequence[Callable[[], Result]]) -> None:
        self._waiting = deque(enumerate(calls))
        self._results: dict[int, Result | Exception] = {}
        self._done = threading.Condition()

    def work(self) -> None:
        """Do calls until all have been begun."""
        while self._do_next():
            pass

    def take(self, index: int) -> Result:
        """Return a result, or raise what the call raised; do other calls until it is there."""
        while index not in self._results and self._do_next():
            pass
        with self._done:
            self._done.wait_for(lambda: index in self._results)
        result = self._results.pop(index)
        if isinstance(result, Exception):
            raise result
        return result

    def abandon(self) -> None:
        """Leave out the calls that have not begun."""
        self._waiting.clear()

    def _do_next(self) -> bool:
        """Do the first call that has not begun; return whether there was one."""
        try:
            index, call = self._waiting.popleft()
        except IndexError:
            return False
        result: Result | Exception
        try:
            result = call()
        except Exception as error:  # raised in the thread that takes the results
            result = error
        with self._done:
            self._results[index] = result
            self._done.notify()
        return True
