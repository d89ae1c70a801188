"""Standard streams that never end the program: missing ones, and a stderr that is not read."""

import io
import os
import sys


class _LossyFile(io.FileIO):
    """A file whose writes never fail: what cannot be written is dropped."""

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Write what is possible."""
        try:
            return super().write(data)
        except OSError:  # the terminal was closed, the reader has gone, the disk is full
            return len(memoryview(data))


def set_up_streams() -> None:
    """Open missing standard streams on /dev/null, and ignore errors of writing to stderr.

    A missing descriptor (``2>&-``) would be given to the next file that is opened. A stderr that
    the caller has replaced stays.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is not sys.__stderr__:
        return
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(2, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )
