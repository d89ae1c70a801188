"""What a thread's time was spent on: computing, or waiting for a processor."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class ThreadTimes(NamedTuple):
    """Times of a thread since its start, in seconds, and the time on the wall."""

    wall_s: float
    cpu_s: float
    """Processor time."""
    queued_s: float
    """Time in which it could have run, but every processor was busy; 0 where it is not known."""


def read_thread_times() -> ThreadTimes:
    """Return the times of the calling thread."""
    queued_ns = 0
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    # Unknown elsewhere than on Linux, and with a kernel without these figures.
    with suppress(OSError, ValueError, IndexError):
        queued_ns = int(path.read_text(encoding="ascii").split()[1])
    return ThreadTimes(time.perf_counter(), time.thread_time(), queued_ns / 1e9)
