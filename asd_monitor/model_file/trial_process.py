"""The process of a trial: load model files and score their reference windows, within limits.

This process imports torch or onnxruntime and never touches a model file itself: for each one it
forks a child, which limits itself, loads the file, and ends. It reads files from stdin, and writes
a line of JSON about each to stdout. Run as a module by :mod:`asd_monitor.model_file.trial`, with
the runtime as its argument.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.format import load_verified
from asd_monitor.model_file.runtimes import ChosenRuntime
from asd_monitor.model_file.sandbox import confine
from asd_monitor.model_file.trial_header import HEADER
from asd_monitor.model_file.trial_warm_up import warm_up

_MAX_MESSAGE_BYTES = 20_000


def main() -> None:
    """Try the files that arrive on stdin, until it ends."""
    runtime: ChosenRuntime = "onnx" if sys.argv[1:] == ["onnx"] else "torchscript"
    warm_up(runtime)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    while header := requests.read(HEADER.size):
        file_bytes, memory_bytes, cpu_s, path_bytes = HEADER.unpack(header)
        path = Path(os.fsdecode(requests.read(path_bytes)))
        content = requests.read(file_bytes)
        result = _try(content, path, memory_bytes, cpu_s, runtime)
        replies.write(json.dumps(result).encode() + b"\n")
        replies.flush()


def _try(
    content: bytes, path: Path, memory_bytes: int, cpu_s: int, runtime: ChosenRuntime
) -> tuple[str, bool]:
    """Return what is wrong with a file, empty if nothing is, and whether that would be repeated."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "wb", buffering=0) as result:
            os.close(reader)
            _run_limited(result, content, path, memory_bytes, cpu_s, runtime)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as result:
        answer = result.read(_MAX_MESSAGE_BYTES)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return _describe_signal(path, number, cpu_s), number == signal.SIGXCPU
    if not answer:
        return f"{path}: its trial ended without a result", False
    return "" if answer == b"ok" else answer.decode(errors="replace"), True


def _describe_signal(path: Path, number: int, cpu_s: int) -> str:
    if number == signal.SIGXCPU:
        return f"{path}: it took more than {cpu_s} s of processor time for its reference windows"
    return f"{path}: its trial was ended by signal {number} ({signal.strsignal(number)})"


def _run_limited(
    result: BinaryIO,
    content: bytes,
    path: Path,
    memory_bytes: int,
    cpu_s: int,
    runtime: ChosenRuntime,
) -> None:
    """Load a file and score its reference windows; never returns an exception."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # the files of others arrive on stdin
            os.dup2(null, standard)
        confine(cpu_s, memory_bytes)
        load_verified(content, path, "cpu", runtime=runtime)
        result.write(b"ok")
    except ModelFileError as error:
        result.write(str(error).encode(errors="replace")[:_MAX_MESSAGE_BYTES])
    except MemoryError:
        result.write(f"{path}: it needs more than {memory_bytes} bytes of memory".encode())
    except BaseException as error:  # of whatever kind: the file caused it
        result.write(f"{path}: {type(error).__name__}: {error}".encode(errors="replace"))
    os._exit(0)


if __name__ == "__main__":
    main()
