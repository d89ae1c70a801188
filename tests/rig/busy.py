"""Whether other programs keep this computer from working in real time."""

import os

MAX_LOAD_PER_CORE = 4.0


def is_busy() -> bool:
    """Return whether sound may be lost, or windows be late, because of other programs."""
    return os.getloadavg()[0] > MAX_LOAD_PER_CORE * (os.cpu_count() or 1)
