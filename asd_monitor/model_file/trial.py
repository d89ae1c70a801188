"""Try model files in another process, which limits time, memory, files and network.

Several files share a process, since it takes seconds to import torch. They are loaded in a child of
it, one after the other, until one fails.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Self

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.runtimes import LIBRARIES, ChosenRuntime
from asd_monitor.model_file.trial_header import HEADER

MAX_CPU_S = 30
"""Processor time of a file, for loading it and scoring its reference windows."""
CPU_S_PER_BYTE = 0.3e-6
MAX_START_S = 90.0
"""Until torch is imported, on a slow or busy computer."""
MEMORY_BYTES = 2 << 30
"""For a model in addition to its size; less on a computer with little memory."""
MEMORY_PER_BYTE = 4

_PASSED_ON = re.compile("PATH|HOME|TMPDIR|TZ|LANG|LC_.*|PYTHON.*|LD_.*|VIRTUAL_ENV|COV.*")
_MODULE = "asd_monitor.model_file.trial_process"


Announce = Callable[[Path, float], None]
"""Called before a file is tried, with the longest time in seconds that it may take."""


class TrialFailedError(ModelFileError):
    """The file itself fails, with these limits: another trial would give the same."""


class Trial:
    """Loads model files and scores their reference windows in other processes.

    A context manager, whose end ends the process. It is started for the first file, and again
    after a file that ended it.

    Parameters
    ----------
    runtime
        What runs the models.
    announce
        Called before each file.
    """

    def __init__(self, runtime: ChosenRuntime, announce: Announce | None = None) -> None:
        self.runtime = runtime
        self._announce = announce
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, content: bytes, path: Path) -> None:
        """Try a file.

        Raises
        ------
        TrialFailedError
            If the file fails or exceeds a limit of processor time or memory.
        ModelFileError
            If its process is killed, takes too long, or cannot be started.
        """
        cpu_s = round(MAX_CPU_S + CPU_S_PER_BYTE * len(content))
        allowed_s = 2.0 * cpu_s  # it shares the processors with others
        process = self._process
        if process is None:
            allowed_s += MAX_START_S
        if self._announce is not None:
            self._announce(path, allowed_s)
        if process is None:
            process = self._process = self._stack.enter_context(_start(self.runtime))
        with _killed_after(process, allowed_s) as is_late:
            answer = _ask(process, path, content, cpu_s, self.runtime)
        if is_late.is_set():
            self._process = None
            raise ModelFileError(f"{path}: its trial took longer than {allowed_s:.0f} s")
        if not answer:
            code = process.wait()
            self._process = None
            raise ModelFileError(f"{path}: its trial ended with exit code {code}")
        problem, is_final = json.loads(answer)
        if problem:
            raise (TrialFailedError if is_final else ModelFileError)(str(problem))


def _ask(
    process: "subprocess.Popen[bytes]",
    path: Path,
    content: bytes,
    cpu_s: int,
    runtime: ChosenRuntime,
) -> bytes:
    """Send a file and return what is wrong with it, in JSON; empty if the process ends."""
    requests, replies = process.stdin, process.stdout
    assert requests is not None  # noqa: S101  # for the type checker
    assert replies is not None  # noqa: S101
    name = os.fsencode(path)
    memory_bytes = allowed_memory_bytes() + MEMORY_PER_BYTE * len(content)
    try:
        requests.write(HEADER.pack(len(content), memory_bytes, cpu_s, len(name)))
        requests.write(name)
        requests.write(content)
        requests.flush()
        import_module(LIBRARIES[runtime])  # needed next, and the other process imports it too
        return replies.readline()
    except OSError:
        return b""


def allowed_memory_bytes() -> int:
    """Return how much memory a model may use in addition to its size, on this computer."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(MEMORY_BYTES // 4, min(MEMORY_BYTES, total // 2))


@contextmanager
def _start(runtime: ChosenRuntime) -> "Iterator[subprocess.Popen[bytes]]":
    try:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", _MODULE, runtime],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # it is killed with its children
        )
    except OSError as error:
        msg = f"the process that tries model files cannot be started: {error.strerror}"
        raise ModelFileError(msg) from error
    try:
        yield process
    finally:
        _kill(process)
        with suppress(OSError):  # what the process has not read
            process.__exit__(None, None, None)


def _environment() -> dict[str, str]:
    """Return an environment without secrets, in which this package is found."""
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    here = str(Path(__file__).parents[2])
    paths = [here, *filter(None, passed_on.get("PYTHONPATH", "").split(os.pathsep))]
    return passed_on | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@contextmanager
def _killed_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """Kill a process after a while, and set the event then."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
