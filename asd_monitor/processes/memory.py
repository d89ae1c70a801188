"""How this process keeps memory that it has freed."""

import ctypes

_M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 512 * 1024


def return_large_blocks() -> None:
    """Return large blocks to the system as soon as they are freed.

    Without this, glibc keeps the memory of a file that was read, in which later small blocks lie.
    It takes some time for each large block, so it is for processes that need few of them.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    except AttributeError:
        return  # another C library
