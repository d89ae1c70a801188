"""SIGINT and SIGTERM: the first ends the program tidily, the second at once."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event; a second one ends the process at once."""
    stop = threading.Event()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    asked: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if asked:
            _exit_on(signum)
        asked.append(signum)
        # From a thread of its own: who waits for the event holds its lock at times, and would wait
        # for ever for a handler that asks for the lock in the same thread.
        _thread.start_new_thread(stop.set, ())

    for each in before:
        signal.signal(each, on_signal)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _exit_on(signum: int) -> None:
    """Exit immediately, without cleaning up, as after an unhandled signal."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # the live view hides the cursor
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
