"""A task for models without training: the network is used as it is."""

from dataclasses import dataclass
from typing import Generic

from torch import Generator, Tensor

from asd_offline.models.protocol import NetworkT


@dataclass(frozen=True)
class NoTrainingTask(Generic[NetworkT]):
    """A task without samples, for recipes with no epochs.

    Parameters
    ----------
    network
        Passed to the detector; an empty module if the model has no network.
    """

    network: NetworkT
    sample_count: int = 0

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return nothing."""
        del indices, generator
        return ()
