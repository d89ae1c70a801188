"""Which of several training processes this one is, and how they stay in step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from asd_monitor.errors import ConfigError

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Process:
    """One training process: alone, or one of those that ``torchrun`` started."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def gather(self, value: _Value) -> list[_Value]:
        """Return the values of all processes, by rank."""
        if self.world == 1:
            return [value]
        values: list[_Value | None] = [None] * self.world
        distributed.all_gather_object(values, value)
        return [each for each in values if each is not None]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """Join the other processes where ``torchrun`` started several.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If there is no such device, or CUDA is asked for and not there.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Process(place)
        return
    backend = "nccl" if place.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=2))
    try:
        yield Process(place, rank, world)
    finally:
        distributed.destroy_process_group()


def check_device(device: str) -> None:
    """Raise ConfigError unless a device is there: ``auto``, ``cpu`` or ``cuda``."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: expected auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device; use cpu or auto")


def _device(device: str, local_rank: int) -> torch.device:
    check_device(device)
    available = torch.cuda.is_available()
    if device == "cpu" or not available:
        return torch.device("cpu")
    # cuBLAS repeats its results only with a workspace of its own.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
