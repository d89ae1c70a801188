"""The computer's clock: alarms and scores carry its time."""

import ctypes
import shutil
import subprocess
import time
from collections.abc import Callable

from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import AsdMonitorError

EARLIEST_YEAR, LATEST_YEAR = 2026, 2100
TIMEX_BYTES = 256
"""More than the kernel's ``struct timex`` has; all zeros only asks."""
TIME_ERROR = 5
COMPARED_S = 0.25
STEP_S = 0.1
TIMEDATECTL_S = 5.0


def check_clock(
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    synchronised: Callable[[], bool | None] | None = None,
) -> list[Finding]:
    """Tell whether the clock shows a possible time, runs evenly, and is synchronised."""
    at, since = wall(), monotonic()
    year = time.gmtime(at).tm_year
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    advice = "set it: timedatectl set-ntp true"
    if not EARLIEST_YEAR <= year <= LATEST_YEAR:
        return [failed("clock", f"it shows {shown}, which cannot be", advice, AsdMonitorError)]
    time.sleep(COMPARED_S)
    stepped_s = wall() - at - (monotonic() - since)
    if abs(stepped_s) > STEP_S:
        told = f"it shows {shown}, and was set by {stepped_s:+.1f} s just now"
        return [warning("clock", told, "is more than one program setting it?")]
    in_step = (synchronised or is_synchronised)()
    if in_step is False:
        return [warning("clock", f"it shows {shown}, but is not synchronised", advice)]
    how = "synchronised" if in_step else "whether it is synchronised cannot be found out"
    return [ok("clock", f"it shows {shown}; {how}")]


def is_synchronised() -> bool | None:
    """Ask the kernel, else timedatectl; None where neither tells."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        state = -1
    if state >= 0:
        return bool(state != TIME_ERROR)
    if shutil.which("timedatectl") is None:
        return None
    try:
        asked = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=TIMEDATECTL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(asked.stdout.strip())
