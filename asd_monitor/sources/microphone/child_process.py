"""The monitor's side of a capture process: start it, talk to it, end it."""

import contextlib
import fcntl
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping

from asd_monitor.sources.microphone.messages import (
    CapturedAudio,
    CaptureOptions,
    CaptureStatus,
    Command,
    MessageReader,
    encode_command,
)

PIPE_BYTES = 1 << 20
"""Holds several seconds of audio while the monitor is busy."""
READ_BYTES = 1 << 18
EXIT_TIMEOUT_S = 1.0

logger = logging.getLogger(__name__)


class CaptureProcess:
    """A capture process: its stdout carries messages, its stdin commands.

    Parameters
    ----------
    process
        The process, with both pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101  # for the type checker
        assert process.stdin is not None  # noqa: S101
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._messages = MessageReader()
        self._buffer = memoryview(bytearray(READ_BYTES))

    def fileno(self) -> int:
        """Return the descriptor of the pipe to poll for messages."""
        return self._stdout.fileno()

    def receive(self) -> list[tuple[int, CapturedAudio | CaptureStatus]] | None:
        """Return the complete messages, each with its track; None once the pipe was closed.

        Raises
        ------
        ValueError
            If the process sends anything else.
        """
        size = os.readv(self._stdout.fileno(), [self._buffer])
        return self._messages.feed(self._buffer[:size]) if size else None

    def send(self, track: int, command: Command) -> None:
        """Send a command for a track, unless the process has ended or does not read."""
        with contextlib.suppress(OSError):
            self._stdin.write(encode_command(track, command))

    def describe_exit(self) -> str:
        """Return how the process ended after it closed the pipe; a driver may hang its exit."""
        try:
            return f"the capture process ended (exit code {self._process.wait(EXIT_TIMEOUT_S)})"
        except subprocess.TimeoutExpired:
            return "the capture process hangs in its exit, probably in the sound driver"

    def close(self) -> None:
        """Close the pipes, which ends the process, and kill it if PortAudio hangs.

        A process that hangs inside the kernel cannot even be killed and is left to the system.
        """
        self._stdin.close()
        self._stdout.close()
        try:
            self._process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(EXIT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pid = self._process.pid
                logger.warning("capture process %d cannot be killed: its driver hangs", pid)


_PASSED_ON = re.compile(
    "PATH|HOME|USER|LOGNAME|TMPDIR|TZ|LANG|LC_.*|XDG_.*|DBUS_.*|PYTHON.*|LD_.*|VIRTUAL_ENV|"
    "ALSA_.*|PULSE_.*|PIPEWIRE_.*|JACK_.*|SDL_.*|PA_.*|COV.*"
)
"""Environment variables that Python and the sound system read."""


def capture_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a capture process, which needs no passwords and tokens."""
    passed_on = {name: value for name, value in environ.items() if _PASSED_ON.fullmatch(name)}
    return passed_on | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start_capture(options: CaptureOptions) -> CaptureProcess:
    """Start a capture process; the system kills it when the calling thread ends.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "asd_monitor.sources.microphone.capture_main", options.to_json()],
        stdin=subprocess.PIPE,
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=capture_environment(os.environ),
        start_new_session=True,  # Ctrl-C is meant for the monitor, which then ends this process
    )
    capture = CaptureProcess(process)
    with contextlib.suppress(OSError):  # the system's limit for all pipes may be reached
        fcntl.fcntl(capture.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    assert process.stdin is not None  # noqa: S101  # for the type checker
    # A process that hangs must not block the monitor; it gets the next window ends.
    os.set_blocking(process.stdin.fileno(), False)
    return capture
