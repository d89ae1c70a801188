"""How a process keeps memory: measured in processes of their own, by what glibc reports."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from asd_monitor.processes.memory import use_one_heap

libc = ctypes.CDLL(None)
if sys.argv[1] == "one":
    use_one_heap()
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(4)


def allocate():
    barrier.wait()
    libc.malloc(1000)
    barrier.wait()


threads = [threading.Thread(target=allocate) for _ in range(3)]
for thread in threads:
    thread.start()
barrier.wait()
barrier.wait()
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.parametrize(("heaps", "is_one"), [("one", True), ("default", False)])
def test_threads_share_a_heap_if_asked_to(heaps: str, is_one: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, heaps], capture_output=True, text=True, check=True
    )
    assert (done.stdout.count("<heap nr=") == 1) is is_one


FREED = """
import ctypes
from pathlib import Path
from asd_monitor.processes.memory import return_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
libc.free.argtypes = (ctypes.c_void_p,)


def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])


blocks = [libc.malloc(65_536) for _ in range(800)]
for block in blocks:
    libc.memset(block, 1, 65_536)
for block in blocks[:-1]:  # the last one keeps the end of the heap in use
    libc.free(block)
before = pages()
return_freed_memory()
print(before - pages())
"""


def test_freed_memory_is_returned_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 5_000  # of 12 800 pages of 4 KiB
