"""Training in one process, or in several that ``torchrun`` has started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from asd_monitor.errors import ConfigError

GROUP_TIMEOUT = timedelta(hours=2)
"""The other processes wait while the first one computes features or an AUC."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Process:
    """One training process: alone, or one of a group."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def gather(self, value: _Value) -> list[_Value]:
        """Return the values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[_Value | None] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return [value for value in values if value is not None]

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()

    def parallel(self, network: nn.Module, *, some_unused: bool) -> nn.Module:
        """Return a network whose gradients are averaged over all processes.

        Parameters
        ----------
        some_unused
            Whether a loss may reach some of the weights only.
        """
        if self.world_size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            network, device_ids=devices, find_unused_parameters=some_unused
        )


@contextmanager
def join_process_group(device: str) -> Iterator[Process]:
    """Join the other processes if ``torchrun`` has started several.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If the device is unknown, or CUDA is requested and not available.
    """
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    used = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world_size == 1:
        yield Process(used)
        return
    backend = "nccl" if used.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=GROUP_TIMEOUT)
    try:
        yield Process(used, rank, world_size)
    finally:
        distributed.destroy_process_group()


def check_device(device: str) -> None:
    """Raise ConfigError unless the device is ``auto``, ``cpu`` or an available ``cuda``."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: expected auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device; use cpu or auto")


def _device(device: str, local_rank: int) -> torch.device:
    check_device(device)
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # cuBLAS is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
