"""What a process and all that it has started use, as the Linux kernel counts it."""

import contextlib
import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a process and its descendants."""

    at_s: float
    """Monotonic time of the count."""
    cpu_s: float
    """Processor time used so far, in user and kernel mode."""
    rss_bytes: int
    """Memory in use; pages that processes share count for each."""
    files: int
    """Open file descriptors."""
    threads: int
    processes: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Count now; processes that end meanwhile are left out."""
        cpu_s, rss_bytes, files, threads, processes = 0.0, 0, 0, 0, 0
        for each in _tree(pid):
            with contextlib.suppress(OSError):
                status = (PROC / str(each) / "status").read_text()
                rss_bytes += 1024 * _number(status, "VmRSS")
                threads += _number(status, "Threads")
                files += len(os.listdir(PROC / str(each) / "fd"))
                cpu_s += cpu_time_s(each)
                processes += 1
        return cls(time.monotonic(), cpu_s, rss_bytes, files, threads, processes)


def cpu_time_s(pid: int) -> float:
    """Return a process's processor time, to the nanosecond: the clock that belongs to its id."""
    return time.clock_gettime((~pid << 3) | 2)


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _tree(pid: int) -> list[int]:
    children = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything: what counts stands behind it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found
