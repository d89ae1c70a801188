"""How this process keeps memory that it has freed."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
LARGE_BLOCK_BYTES = 512 * 1024


def return_large_blocks() -> None:
    """Return large blocks to the system as soon as they are freed.

    Without this, glibc keeps the memory of a file that was read, in which later small blocks lie.
    It takes some time for each large block, so it is for processes that need few of them.
    """
    _set_option(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def use_one_heap() -> None:
    """Let all threads that are started from now on allocate from one heap.

    Otherwise glibc makes a heap for each of the first threads, whose free memory the others do not
    use. Python runs one thread at a time, so they seldom wait for each other; models in several
    threads lose about a tenth of their time.
    """
    _set_option(_M_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Return to the system what this process has freed and keeps for itself."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _set_option(name: int, value: int) -> None:
    try:
        ctypes.CDLL(None).mallopt(name, value)
    except AttributeError:
        return  # another C library
