"""Check the computer's clock: alarms and scores carry its time."""

import shutil
import subprocess
import time
from collections.abc import Callable

from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import AsdMonitorError
from asd_monitor.telemetry.clock_watch import is_kernel_synchronised

MIN_YEAR, MAX_YEAR = 2026, 2100
OBSERVED_S = 0.25
MIN_STEP_S = 0.1
TIMEDATECTL_TIMEOUT_S = 5.0


def check_clock(
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    synchronised: Callable[[], bool | None] | None = None,
) -> list[Finding]:
    """Check that the clock shows a plausible time, is not being set, and is synchronised."""
    wall_s, monotonic_s = wall(), monotonic()
    year = time.gmtime(wall_s).tm_year
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall_s))
    hint = "set it: timedatectl set-ntp true"
    if not MIN_YEAR <= year <= MAX_YEAR:
        return [failed("clock", f"the time is {text}, which is wrong", hint, AsdMonitorError)]
    time.sleep(OBSERVED_S)
    step_s = wall() - wall_s - (monotonic() - monotonic_s)
    if abs(step_s) > MIN_STEP_S:
        message = f"the time is {text}, and was changed by {step_s:+.1f} s during this check"
        return [warning("clock", message, "does more than one program set the clock?")]
    is_in_step = (synchronised or is_synchronised)()
    if is_in_step is False:
        return [warning("clock", f"the time is {text}, but it is not synchronised", hint)]
    state = "synchronised" if is_in_step else "cannot find out whether it is synchronised"
    return [ok("clock", f"the time is {text}; {state}")]


def is_synchronised() -> bool | None:
    """Ask the kernel, or else timedatectl; return None if neither answers."""
    known = is_kernel_synchronised()
    if known is not None:
        return known
    if shutil.which("timedatectl") is None:
        return None
    try:
        done = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=TIMEDATECTL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())
