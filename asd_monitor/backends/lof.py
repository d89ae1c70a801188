"""Local outlier factor."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.distances import (
    among_references,
    euclidean,
    squared_lengths,
    usable_neighbours,
)


class LocalOutlierFactor(nn.Module):
    """How much sparser the surroundings of a vector are than those of its nearest references."""

    bank: Tensor
    bank_squares: Tensor
    reach: Tensor
    density: Tensor

    def __init__(
        self, bank: Tensor, reach: Tensor, density: Tensor, count: int, cosine: bool = False
    ) -> None:
        super().__init__()
        self.cosine = cosine
        self.register_buffer("bank", bank)
        self.register_buffer("bank_squares", squared_lengths(bank))
        self.register_buffer("reach", reach)
        self.register_buffer("density", density)
        self.count = count

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``; about 1 for normal."""
        if self.cosine:
            distances = 1.0 - F.normalize(features, dim=1) @ self.bank.t()
        else:
            distances = euclidean(features, self.bank, self.bank_squares)
        nearest, items = torch.topk(distances, self.count, dim=1, largest=False)
        reachability = torch.maximum(nearest, self.reach[items]).mean(1)
        return self.density[items].mean(1) * reachability


def fit_lof(
    features: Tensor,
    groups: Tensor | None = None,
    *,
    count: int = 10,
    least_reach: float = 1e-6,
    cosine: bool = False,
) -> LocalOutlierFactor:
    """Fit the local outlier factor for new vectors.

    Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000, equations 5 to 7:
    the mean local reachability density of the ``count`` nearest references, divided by that of the
    vector itself.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.among_references`.
    count
        Neighbours that make up the surroundings.
    least_reach
        Smallest reachability distance, in units of the features.
    cosine
        Cosine distance instead of the Euclidean one.

    Raises
    ------
    ValueError
        If some item has no neighbour outside its group.
    """
    bank = F.normalize(features, dim=1) if cosine else features.clone()
    between = among_references(bank, groups)
    if cosine:
        between = 0.5 * between.square()  # of unit vectors
    neighbours = usable_neighbours(between, count)
    nearest, items = torch.topk(between, neighbours, dim=1, largest=False)
    reach = nearest[:, -1].clamp_min(least_reach)
    reachability = torch.maximum(nearest, reach[items]).mean(1)
    return LocalOutlierFactor(bank, reach, reachability.reciprocal(), neighbours, cosine)
