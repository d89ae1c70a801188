"""SIGINT and SIGTERM stop the program cleanly, a second one immediately; SIGHUP stops or reloads.

A closed terminal sends SIGHUP to the programs that run in it, which is why it stops them. A service
has no terminal: there SIGHUP means what it means for other services, to reload the configuration.
"""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(reload: threading.Event | None = None) -> Iterator[threading.Event]:
    """Turn SIGINT, SIGTERM and SIGHUP into an event; a second of the first two ends the process.

    A closed terminal may send SIGHUP twice, and systemd sends it after SIGTERM, so it never ends
    the process immediately. It stays ignored under ``nohup``.

    Parameters
    ----------
    reload
        Set by SIGHUP, instead of the yielded event, if the process has no controlling terminal or
        was started under ``nohup``.
    """
    stop = threading.Event()
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    hangup = signal.getsignal(signal.SIGHUP)
    reloads = reload is not None and (hangup is signal.SIG_IGN or not has_terminal())
    if reloads or hangup is not signal.SIG_IGN:
        previous[signal.SIGHUP] = hangup
    received: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if signum != signal.SIGHUP:
            if received:
                _exit_on(signum)
            received.append(signum)
        # In a new thread: the interrupted thread may hold the event's lock in `wait`, and a
        # handler that asks for that lock would block forever.
        event = reload if signum == signal.SIGHUP and reloads else stop
        assert event is not None  # noqa: S101 - for the type checker
        _thread.start_new_thread(event.set, ())

    for signum in previous:
        signal.signal(signum, on_signal)
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal, which sends SIGHUP when it closes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _exit_on(signum: int) -> None:
    """End the process immediately, by the signal's default action."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # the live view hides the cursor
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
