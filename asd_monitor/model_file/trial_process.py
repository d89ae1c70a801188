"""The process of a trial: load model files and score their reference windows, within limits.

This process imports torch and never touches a model file itself: for each one it forks a child,
which limits itself, loads the file, and ends. It reads files from stdin, and writes a line of JSON
about each to stdout. Run as a module by :mod:`asd_monitor.model_file.trial`.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.format import load_verified, pack, script
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.sandbox import confine
from asd_monitor.model_file.trial_header import HEADER

_MAX_MESSAGE_BYTES = 20_000


def main() -> None:
    """Try the files that arrive on stdin, until it ends."""
    _warm_up()
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    while header := requests.read(HEADER.size):
        file_bytes, memory_bytes, cpu_s, path_bytes = HEADER.unpack(header)
        path = Path(os.fsdecode(requests.read(path_bytes)))
        content = requests.read(file_bytes)
        result = _try(content, path, memory_bytes, cpu_s)
        replies.write(json.dumps(result).encode() + b"\n")
        replies.flush()


def _try(content: bytes, path: Path, memory_bytes: int, cpu_s: int) -> tuple[str, bool]:
    """Return what is wrong with a file, empty if nothing is, and whether that would be repeated."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "wb", buffering=0) as result:
            os.close(reader)
            _run_limited(result, content, path, memory_bytes, cpu_s)
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
    result: BinaryIO, content: bytes, path: Path, memory_bytes: int, cpu_s: int
) -> None:
    """Load a file and score its reference windows; never returns an exception."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # the files of others arrive on stdin
            os.dup2(null, standard)
        confine(cpu_s, memory_bytes)
        load_verified(content, path, "cpu")
        result.write(b"ok")
    except ModelFileError as error:
        result.write(str(error).encode(errors="replace")[:_MAX_MESSAGE_BYTES])
    except MemoryError:
        result.write(f"{path}: it needs more than {memory_bytes} bytes of memory".encode())
    except BaseException as error:  # of whatever kind: the file caused it
        result.write(f"{path}: {type(error).__name__}: {error}".encode(errors="replace"))
    os._exit(0)


class _Small(torch.nn.Module):
    """Use each of the libraries below torch once."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv1d(1, 2, 3)
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return a score of each window."""
        power = torch.fft.rfft(waveform).abs().square()
        scores: torch.Tensor = self.linear(self.convolution(power[:, None]).mean(2))
        return scores[:, 0] + 0 * target


def _warm_up() -> None:
    """Initialise what a model needs, since the limited child can open no file."""
    torch.set_num_threads(1)
    manifest = Manifest("warm-up", "1", ("any",), 8000, 512, 512)
    windows = np.zeros((1, 512), np.float32)
    load_verified(pack(script(_Small()), manifest, windows), Path("warm-up"), "cpu")


if __name__ == "__main__":
    main()
