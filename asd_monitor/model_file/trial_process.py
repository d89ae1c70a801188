"""The process of a trial: load model files and score their reference windows, within limits.

This process imports torch or onnxruntime and never touches a model file itself: it forks a child,
which limits itself and loads the files one after the other. Models whose code is equal are
therefore compiled once. A child ends with the first file that fails; the next file gets a new one,
and so does a file that fails where others were loaded before it. This process reads files from
stdin, and writes a line of JSON about each to stdout. Run as a module by
:mod:`asd_monitor.model_file.trial`, with the runtime as its argument.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.loading import load_verified
from asd_monitor.model_file.runtimes import ChosenRuntime
from asd_monitor.model_file.sandbox import Confinement
from asd_monitor.model_file.torchscript import compile_program
from asd_monitor.model_file.trial_header import HEADER
from asd_monitor.model_file.trial_warm_up import warm_up

_MAX_MESSAGE_BYTES = 20_000


class Request(NamedTuple):
    """A file to be tried, and its limits."""

    content: bytes
    path: Path
    memory_bytes: int
    cpu_s: int


class Result(NamedTuple):
    """What is wrong with a file."""

    problem: str
    """Empty if nothing is."""
    is_final: bool
    """Whether another trial would give the same."""


def main() -> None:
    """Try the files that arrive on stdin, until it ends."""
    runtime: ChosenRuntime = "onnx" if sys.argv[1:] == ["onnx"] else "torchscript"
    warm_up(runtime)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    child: _Child | None = None
    while (request := _read_request(requests)) is not None:
        is_new = child is None
        child = child or _Child(runtime)
        result = child.run(request)
        if result.problem and not is_new and not child.exceeded_time:
            child.end()
            child = _Child(runtime)  # perhaps the files before are to blame
            result = child.run(request)
        if result.problem:
            child.end()
            child = None
        replies.write(json.dumps(result).encode() + b"\n")
        replies.flush()
    if child is not None:
        child.end()


def _read_request(source: BinaryIO) -> Request | None:
    """Return the next request; None at the end."""
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    file_bytes, memory_bytes, cpu_s, path_bytes = HEADER.unpack(header)
    path = Path(os.fsdecode(source.read(path_bytes)))
    return Request(source.read(file_bytes), path, memory_bytes, cpu_s)


class _Child:
    """A process that loads files within limits, until one of them ends it."""

    def __init__(self, runtime: ChosenRuntime) -> None:
        request_reader, request_writer = os.pipe()
        reply_reader, reply_writer = os.pipe()
        self.exceeded_time = False
        self._pid = os.fork()
        if self._pid == 0:
            os.close(request_writer)
            os.close(reply_reader)
            requests, replies = os.fdopen(request_reader, "rb"), os.fdopen(reply_writer, "wb", 0)
            _serve(requests, replies, runtime)
        os.close(request_reader)
        os.close(reply_writer)
        self._requests = os.fdopen(request_writer, "wb")
        self._replies = os.fdopen(reply_reader, "rb")

    def run(self, request: Request) -> Result:
        """Try a file."""
        content, path, memory_bytes, cpu_s = request
        name = os.fsencode(path)
        with suppress(BrokenPipeError):  # it has ended: its reply is empty
            header = HEADER.pack(len(content), memory_bytes, cpu_s, len(name))
            self._requests.write(header + name + content)
            self._requests.flush()
        reply = self._replies.readline(2 * _MAX_MESSAGE_BYTES)
        if reply.endswith(b"\n"):
            return Result(reply.decode(errors="replace")[:-1], is_final=True)
        return self._describe_end(request)

    def _describe_end(self, request: Request) -> Result:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if not os.WIFSIGNALED(status):
            return Result(f"{request.path}: its trial ended without a result", is_final=False)
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            self.exceeded_time = True
            limit = f"more than {request.cpu_s} s of processor time"
            problem = f"{request.path}: it took {limit} for its reference windows"
            return Result(problem, is_final=True)
        name = signal.strsignal(number)
        problem = f"{request.path}: its trial was ended by signal {number} ({name})"
        return Result(problem, is_final=False)

    def end(self) -> None:
        """End the process."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        for pipe in (self._requests, self._replies):
            with suppress(BrokenPipeError):  # what the process has not read
                pipe.close()


def _serve(requests: BinaryIO, replies: BinaryIO, runtime: ChosenRuntime) -> None:
    """Load files and answer with a line on each; never returns an exception."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # the files of others arrive on stdin
            os.dup2(null, standard)
        confinement = Confinement()
        loaded = None
        while (request := _read_request(requests)) is not None:
            confinement.allow(request.cpu_s, request.memory_bytes)
            problem, loaded = _load(request, runtime, loaded)
            line = " ".join(problem.splitlines()).encode(errors="replace")[:_MAX_MESSAGE_BYTES]
            replies.write(line + b"\n")
            if problem:
                break
    finally:
        os._exit(0)


def _load(
    request: Request, runtime: ChosenRuntime, loaded: LoadedModel | None
) -> tuple[str, LoadedModel | None]:
    """Return what is wrong with a file, and a model whose program the next one may share."""
    try:
        model = load_verified(request.content, request.path, "cpu", runtime=runtime)
        if loaded is not None and loaded.shares_program(model):
            compile_program(request.content, "cpu")  # where no other model has loaded it yet
    except ModelFileError as error:
        return str(error) or "?", None
    except MemoryError:
        return f"{request.path}: it needs more than {request.memory_bytes} bytes of memory", None
    except BaseException as error:  # of whatever kind: the file caused it
        return f"{request.path}: {type(error).__name__}: {error}", None
    return "", model


if __name__ == "__main__":
    main()
