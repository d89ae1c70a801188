"""A network that is taken as it is: a task for models of which nothing is trained."""

from dataclasses import dataclass

from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Untrained:
    """A task without samples; with no epochs the training loop never draws from it.

    Parameters
    ----------
    network
        What a checkpoint and the detector get; an empty module where there is no network.
    """

    network: nn.Module
    samples: int = 0

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return nothing."""
        del chosen, generator
        return ()
