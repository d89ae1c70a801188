"""The batches of an epoch: how samples are divided, and drawn ahead of the optimiser."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Generator, Tensor, nn

from asd_monitor.errors import ConfigError, DatasetError
from asd_offline.models.protocol import MovableSamples, Task
from asd_offline.training.batch_norm import batch_norm_layers
from asd_offline.training.distributed import Process

MAX_SAMPLE_SHARE = 0.25
"""Samples are moved to a GPU if they take at most this share of its free memory."""
MIN_BATCH_SAMPLES = 2
"""Of each process: batch normalisation and deviations over a batch need two."""


def check_batch_size(batch_size: int, process: Process) -> None:
    """Raise ConfigError if a process's share of a batch is less than two samples."""
    world_size = process.world_size
    if batch_size < MIN_BATCH_SAMPLES * world_size:
        msg = (
            f"batch_size: expected at least {MIN_BATCH_SAMPLES * world_size}, two samples for each "
            f"of {world_size} processes, found {batch_size}"
        )
        raise ConfigError(f"{msg}; use a larger batch_size or fewer processes")


def check_sample_count(name: str, task: Task[nn.Module], process: Process) -> None:
    """Raise DatasetError if a network has too few samples for a batch of each process.

    A single process trains a network without batch normalisation on one sample.
    """
    world_size, count = process.world_size, task.sample_count
    required = MIN_BATCH_SAMPLES * world_size
    if count >= required or (world_size == 1 and not batch_norm_layers(task.network)):
        return
    found = f"{name}: expected at least {required} training samples"
    if world_size == 1:
        msg = f"{found}, because of batch normalisation, found {count}; record more"
    else:
        msg = f"{found} for {world_size} processes, found {count}; use fewer processes"
    raise DatasetError(msg)


def split_order(order: Tensor, batch_size: int, process: Process) -> list[Tensor]:
    """Return this process's batches of sample indices.

    All processes have the same number of batches. A last batch of a single sample is left out,
    because batch normalisation needs two.

    Parameters
    ----------
    order
        ``(samples,)`` int64: all sample indices, shuffled.
    batch_size
        Samples of all processes together.
    """
    usable = len(order) // process.world_size * process.world_size
    share = order[process.rank : usable : process.world_size]
    batches = list(torch.split(share, max(1, batch_size // process.world_size)))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < 2 else batches


def move_samples(task: Task[nn.Module], device: torch.device) -> bool:
    """Move the samples of a task to a GPU, if it can and they fit; return whether they are there.

    Each batch would otherwise be gathered on the CPU and copied.
    """
    if device.type != "cuda" or not isinstance(task, MovableSamples):
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if task.sample_bytes > MAX_SAMPLE_SHARE * free_bytes:
        return False
    task.move_samples(device)
    return True


def draw_on_device(
    task: Task[nn.Module], batches: Sequence[Tensor], generator: Generator, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches of :func:`prefetch`, of samples that are on the device."""
    for indices in batches:
        yield task.draw(indices.to(device), generator)


def prefetch(
    task: Task[nn.Module], batches: Sequence[Tensor], generator: Generator, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches on the device; a thread draws the next one in the meantime."""

    def draw(indices: Tensor) -> tuple[Tensor, ...]:
        parts = task.draw(indices, generator)
        if device.type == "cuda":  # only pinned memory is copied without a wait
            parts = tuple(part.pin_memory() for part in parts)
        return tuple(part.to(device, non_blocking=True) for part in parts)

    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(draw, batches[0])
        for indices in batches[1:]:
            batch, upcoming = upcoming.result(), thread.submit(draw, indices)
            yield batch
        yield upcoming.result()
