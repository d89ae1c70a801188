"""Names of modes that a person understands, from their levels."""

from collections.abc import Sequence
from itertools import pairwise

OFF, IDLE, RUNNING = "off", "idle", "running"
OFF_BELOW_DB = 20.0
"""The quietest mode is called off when it is this far below the next one."""
IDLE_BELOW_DB = 5.0
"""The quietest mode is called idle when it is this far below the next one."""
LOUDER_DB = 1.0


def name_modes(levels_dbfs: Sequence[float]) -> list[str]:
    """Return a name for each mode; levels ascend.

    The names are guesses, which a person can replace.
    """
    quiet: list[str] = []
    steps = [high - low for low, high in pairwise(levels_dbfs)]
    if steps and steps[0] >= OFF_BELOW_DB:
        quiet.append(OFF)
        steps = steps[1:]
    if steps and steps[0] >= IDLE_BELOW_DB:
        quiet.append(IDLE)
        steps = steps[1:]
    count = len(levels_dbfs) - len(quiet)
    if count == 1:
        return [*quiet, RUNNING]
    if count == 2 and steps[0] >= LOUDER_DB:
        return [*quiet, RUNNING, f"{RUNNING}, louder"]
    return [*quiet, *(f"{RUNNING} {number}" for number in range(1, count + 1))]
