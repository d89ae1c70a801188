"""SIGINT, SIGTERM and SIGHUP stop the program cleanly; a second SIGINT or SIGTERM immediately."""

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
    """Turn SIGINT, SIGTERM and SIGHUP into an event; a second of the first two ends the process.

    A closed terminal may send SIGHUP twice, and systemd sends it after SIGTERM, so it never ends
    the process immediately. It stays ignored under ``nohup``.
    """
    stop = threading.Event()
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    hangup = signal.getsignal(signal.SIGHUP)
    if hangup is not signal.SIG_IGN:
        previous[signal.SIGHUP] = hangup
    received: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if signum != signal.SIGHUP:
            if received:
                _exit_on(signum)
            received.append(signum)
        # In a new thread: the interrupted thread may hold the event's lock in `wait`, and a
        # handler that asks for that lock would block forever.
        _thread.start_new_thread(stop.set, ())

    for signum in previous:
        signal.signal(signum, on_signal)
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _exit_on(signum: int) -> None:
    """End the process immediately, by the signal's default action."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # the live view hides the cursor
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
