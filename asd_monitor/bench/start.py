"""How long it takes until something happens: import, help, readiness."""

import subprocess
import sys
import time
from collections.abc import Iterator

from asd_monitor.bench.context import Setting
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Figure

AREA = "startup"
ALLOWED_S = 0.3


def measure(setting: Setting) -> Iterator[Figure]:
    """Time fresh processes; the least of several, for other programs can only add to it."""
    repeats = 2 if setting.quick else 7
    setting.tell("start of Python, import, and help")
    python_s = _least_s(["-c", "pass"], repeats)
    import_s = _least_s(["-c", "import asd_monitor"], repeats)
    help_s = _least_s(["-m", "asd_monitor.cli", "--help"], repeats)
    yield Figure(AREA, "python_s", python_s, "python, nothing imported", "s")
    told = "python, asd_monitor imported"
    yield Figure(AREA, "import_s", import_s, told, "s", at_most=ALLOWED_S)
    yield Figure(AREA, "help_s", help_s, "asd-monitor --help", "s", at_most=ALLOWED_S)
    ready_s = []
    for _ in range(1 if setting.quick else 3):
        setting.tell("asd-monitor run, until it is ready")
        with Daemon(setting.one_machine(), setting.work.folder) as daemon:
            ready_s.append(daemon.ready_s)
    yield Figure(AREA, "ready_s", min(ready_s), "asd-monitor run until READY", "s")


def _least_s(arguments: list[str], repeats: int) -> float:
    times_s = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        times_s.append(time.perf_counter() - began)
    return min(times_s)
