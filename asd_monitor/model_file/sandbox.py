"""Limit what this process may do: time, memory, files, the network."""

import ctypes
import math
import os
import resource
import struct
import time

_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version of Landlock knows; later versions know 16."""
_NETWORK_VERSION = 4
_NETWORK_RIGHTS = 0b11
"""To bind and to connect a TCP socket."""


class Confinement:
    """Limits of this process for good: it can open no file and no connection, and write to none.

    Pipes that are open stay so. Where Landlock is missing, files cannot be opened either, since
    the process may have no further file handles.
    """

    def __init__(self) -> None:
        self._memory = os.open("/proc/self/statm", os.O_RDONLY)  # not possible afterwards
        deny_files_and_network()
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
            resource.setrlimit(limit, (0, 0))

    def allow(self, cpu_s: int, memory_bytes: int) -> None:
        """Let the process use this much more processor time and memory from now on.

        It is ended by SIGXCPU when the time is used up.
        """
        pages = int(os.pread(self._memory, 100, 0).split()[0])
        for limit, value in (
            (resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes),
            (resource.RLIMIT_CPU, math.ceil(time.process_time()) + cpu_s),
        ):
            _, hard = resource.getrlimit(limit)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (value, hard))


def deny_files_and_network() -> bool:
    """Deny this process for good to open any file or TCP connection; return whether that worked.

    It needs Landlock, which Linux has since 5.13 and not every system turns on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    ruleset = struct.pack("=Q", rights)
    if version >= _NETWORK_VERSION:
        ruleset += struct.pack("=Q", _NETWORK_RIGHTS)
    handle = libc.syscall(_LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0)
    if handle < 0:
        return False
    return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, handle, 0) == 0)
