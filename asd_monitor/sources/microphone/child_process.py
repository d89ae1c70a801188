"""Start and end a capture process, from the monitor's side."""

import contextlib
import fcntl
import logging
import os
import subprocess
import sys

from asd_monitor.sources.microphone.messages import CaptureOptions, WindowEnds

PIPE_BYTES = 1 << 20
"""Holds several seconds of audio while the monitor is busy."""
STOP_S = 1.0

log = logging.getLogger(__name__)


def start_capture(options: CaptureOptions) -> subprocess.Popen[bytes]:
    """Start a capture process; its stdout is the pipe, its stdin the lifeline.

    It is killed by the system when the calling thread ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "asd_monitor.sources.microphone.capture_main", options.to_json()],
        stdin=subprocess.PIPE,
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is for the monitor, which then ends this one
    )
    assert process.stdout is not None  # noqa: S101  # for the type checker
    with contextlib.suppress(OSError):  # the system's limit for all pipes may be reached
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    assert process.stdin is not None  # noqa: S101  # for the type checker
    os.set_blocking(process.stdin.fileno(), False)  # it may hang, and hears of it next time
    return process


def tell_window_ends(process: subprocess.Popen[bytes], ends: WindowEnds) -> None:
    """Tell a capture process where windows end; one that does not listen is ended elsewhere."""
    assert process.stdin is not None  # noqa: S101  # for the type checker
    with contextlib.suppress(OSError):
        process.stdin.write(ends.encode())


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Say how a capture process ended whose pipe has; its driver may hang in its exit."""
    try:
        return f"the capture process ended (exit code {process.wait(STOP_S)})"
    except subprocess.TimeoutExpired:
        return "the capture process hangs in its exit, probably in the sound driver"


def end_capture(process: subprocess.Popen[bytes]) -> None:
    """End a capture process: by closing its pipe, else by force, for PortAudio may hang.

    One that not even force ends, as it hangs inside the kernel, is left to the system.
    """
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("capture process %d cannot be killed: its driver hangs", process.pid)
