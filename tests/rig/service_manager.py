"""A manager of a service, as systemd is with Type=notify, WatchdogSec and Restart=always."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ABORT_TIMEOUT_S = 1.0
"""Between SIGABRT, which a stopped process does not receive, and SIGKILL."""


@dataclass
class Start:
    """A process of the service."""

    process: subprocess.Popen[bytes]
    was_ready: bool = False
    status: str = ""
    """What it has reported last, as ``systemctl status`` shows it."""
    missed_watchdog: bool = False


class ServiceManager:
    """Run a service until the block ends; start it again whenever it ends or misses its watchdog.

    Parameters
    ----------
    folder
        For its socket and the log of the service.
    command
        How the service is started.
    watchdog_s
        Longest time between two of its watchdog messages.
    """

    def __init__(self, folder: Path, command: Sequence[object], watchdog_s: float) -> None:
        self.starts: list[Start] = []
        self.log = folder / "log"
        self._socket_path = folder / "notify"
        self._command = list(map(str, command))
        self._watchdog_s = watchdog_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "ServiceManager":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._socket_path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
                notifications.bind(str(self._socket_path))
                notifications.settimeout(0.1)
                self._run_once(notifications)

    def _run_once(self, notifications: socket.socket) -> None:
        environ = os.environ | {
            "NOTIFY_SOCKET": str(self._socket_path),
            "WATCHDOG_USEC": str(round(1e6 * self._watchdog_s)),
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._command, env=environ, stdout=log, stderr=log)
        start = Start(process)
        self.starts.append(start)
        beat_s = float("inf")
        while not self._ending.is_set() and process.poll() is None:
            with contextlib.suppress(TimeoutError):
                message = notifications.recv(4096).decode().splitlines()
                start.was_ready |= "READY=1" in message
                for line in message:
                    if line.startswith("STATUS="):
                        start.status = line.removeprefix("STATUS=")
                if "READY=1" in message or "WATCHDOG=1" in message:
                    beat_s = time.monotonic()
            if time.monotonic() - beat_s > self._watchdog_s:
                start.missed_watchdog = True
                process.send_signal(signal.SIGABRT)
                break
        if self._ending.is_set():
            process.terminate()
        try:
            process.wait(120.0 if self._ending.is_set() else ABORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class ControlGroup:
    """Processes that may use some memory together."""

    folder: Path

    def command(self, command: Sequence[object], *, ended_first: bool = True) -> list[object]:
        """Return a command that runs in this group; the kernel ends it before others, or after."""
        choice = "echo 1000 > /proc/self/oom_score_adj && " if ended_first else ""
        script = f'{choice}echo $$ > {self.folder}/cgroup.procs && exec "$@"'
        return ["sh", "-c", script, "sh", *command]

    @contextmanager
    def filled(self, size_bytes: int) -> Iterator[None]:
        """Use memory in another process until the block ends."""
        code = "import sys\nfilling = bytearray(b'x') * int(sys.argv[1])\nsys.stdin.read()\n"
        command = self.command([sys.executable, "-c", code, str(size_bytes)], ended_first=False)
        with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE) as process:
            try:
                yield
            finally:
                process.kill()


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[ControlGroup]:
    """Make a group with this limit, as MemoryMax does; skip the test where that is impossible."""
    name = f"asd-monitor-test-{os.getpid()}"
    first = Path("/sys/fs/cgroup/memory")
    folder, setting = first / name, "memory.limit_in_bytes"
    if not first.is_dir():
        folder, setting = Path("/sys/fs/cgroup") / name, "memory.max"
    try:
        folder.mkdir()
        (folder / setting).write_text(str(limit_bytes))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"a limit on memory needs a control group that can be written: {error}")
    try:
        yield ControlGroup(folder)
    finally:
        for _ in range(600):
            with contextlib.suppress(OSError):  # its processes are still ending
                folder.rmdir()
                break
            time.sleep(0.1)
