"""Measure how long the program takes to start: import, help, readiness."""

import subprocess
import sys
import time
from collections.abc import Iterator

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement

AREA = "startup"
MAX_START_S = 0.3


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Time new processes; the minimum of several, since other programs only add time."""
    repeats = 2 if context.quick else 7
    context.report("start of Python, import, and help")
    python_s = _min_time_s(["-c", "pass"], repeats)
    import_s = _min_time_s(["-c", "import asd_monitor"], repeats)
    help_s = _min_time_s(["-m", "asd_monitor.cli", "--help"], repeats)
    yield Measurement(AREA, "python_s", python_s, "python, nothing imported", "s")
    text = "python, asd_monitor imported"
    yield Measurement(AREA, "import_s", import_s, text, "s", at_most=MAX_START_S)
    yield Measurement(AREA, "help_s", help_s, "asd-monitor --help", "s", at_most=MAX_START_S)
    ready_s = []
    for _ in range(1 if context.quick else 3):
        context.report("asd-monitor run, until it is ready")
        with Daemon(context.one_machine(), context.fixtures.folder) as daemon:
            ready_s.append(daemon.ready_s)
    yield Measurement(AREA, "ready_s", min(ready_s), "asd-monitor run until READY", "s")


def _min_time_s(arguments: list[str], repeats: int) -> float:
    times_s = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        times_s.append(time.perf_counter() - started_s)
    return min(times_s)
