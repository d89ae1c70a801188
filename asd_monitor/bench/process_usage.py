"""Resources that a process and its descendants use, as the Linux kernel counts them."""

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
    """Monotonic time of the measurement."""
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
        """Measure now; processes that end meanwhile are left out."""
        cpu_s, rss_bytes, files, threads, processes = 0.0, 0, 0, 0, 0
        for process in _list_tree(pid):
            with contextlib.suppress(OSError):
                status = (PROC / str(process) / "status").read_text()
                rss_bytes += 1024 * _read_number(status, "VmRSS")
                threads += _read_number(status, "Threads")
                files += len(os.listdir(PROC / str(process) / "fd"))
                cpu_s += cpu_time_s(process)
                processes += 1
        return cls(time.monotonic(), cpu_s, rss_bytes, files, threads, processes)


def cpu_time_s(pid: int) -> float:
    """Return a process's processor time with nanosecond resolution.

    The clock's id is that of ``clock_getcpuclockid(3)``: Linux computes it from the process id.
    """
    return time.clock_gettime((~pid << 3) | 2)


def _read_number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _list_tree(pid: int) -> list[int]:
    children = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The process name is in parentheses and may contain any characters; the fields
                # follow it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children[int(fields[1])].append(int(entry.name))
    tree = [pid]
    for process in tree:
        tree += children[process]
    return tree
