"""The batches of an epoch: how samples are divided, and drawn ahead of the optimiser."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Generator, Tensor, nn

from asd_offline.models.protocol import Task
from asd_offline.training.distributed import Process


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


def prefetch(
    task: Task[nn.Module], batches: Sequence[Tensor], generator: Generator, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches on the device; a thread draws the next one in the meantime."""

    def draw(indices: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.to(device, non_blocking=True) for part in task.draw(indices, generator))

    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(draw, batches[0])
        for indices in batches[1:]:
            batch, upcoming = upcoming.result(), thread.submit(draw, indices)
            yield batch
        yield upcoming.result()
