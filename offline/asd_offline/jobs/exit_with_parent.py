"""Worker processes end with the process that they work for, even where that is killed."""

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """Call it first in a worker: it ends at once when the process that made the pool is gone.

    That works for workers of every start method, and where the parent is gone already. The
    kernel's ``PR_SET_PDEATHSIG`` would not do: with ``forkserver`` its parent is the server, which
    lives for as long as any worker.
    """
    threading.Thread(target=_wait_and_end, name="end-with-parent", daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
