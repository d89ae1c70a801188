"""Local outlier factor."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.distances import (
    count_usable_neighbours,
    distances_within,
    euclidean,
    squared_lengths,
)


class LocalOutlierFactor(nn.Module):
    """Ratio of the local density of a vector's nearest references to its own local density."""

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
    min_reach: float = 1e-6,
    cosine: bool = False,
) -> LocalOutlierFactor:
    """Fit the local outlier factor of new vectors.

    Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000, equations 5 to 7:
    the mean local reachability density of the ``count`` nearest references, divided by that of the
    vector itself.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.distances_within`.
    count
        Number of neighbours over which densities are taken.
    min_reach
        Minimum reachability distance, in units of the features.
    cosine
        Cosine distance instead of the Euclidean one.

    Raises
    ------
    ValueError
        If an item has no neighbour outside its group.
    """
    bank = F.normalize(features, dim=1) if cosine else features.clone()
    distances = distances_within(bank, groups)
    if cosine:
        distances = 0.5 * distances.square()  # 1 - cos of vectors of length 1
    neighbours = count_usable_neighbours(distances, count)
    nearest, items = torch.topk(distances, neighbours, dim=1, largest=False)
    reach = nearest[:, -1].clamp_min(min_reach)
    reachability = torch.maximum(nearest, reach[items]).mean(1)
    return LocalOutlierFactor(bank, reach, reachability.reciprocal(), neighbours, cosine)
