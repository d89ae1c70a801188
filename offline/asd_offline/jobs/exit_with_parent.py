"""Exit of worker processes with their parent process, even if that is killed."""

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def exit_with_parent() -> None:
    """Exit at once when the process that created the pool exits; call it first in a worker.

    This works with every start method, and if the parent has exited already. The kernel's
    ``PR_SET_PDEATHSIG`` would not: with ``forkserver`` the kernel's parent of a worker is the
    server, which lives as long as any worker.
    """
    threading.Thread(target=_exit_when_parent_dies, name="exit-with-parent", daemon=True).start()


def _exit_when_parent_dies() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
