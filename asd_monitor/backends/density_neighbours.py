"""Nearest neighbours, each measured by how dense its own surroundings are."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.distances import (
    among_references,
    euclidean,
    squared_lengths,
    usable_neighbours,
)

FLOOR_QUANTILE = 0.05


class DensityNeighbours(nn.Module):
    """Smallest distance to an item of ``bank`` ``(items, dims)``, divided by that item's radius."""

    bank: Tensor
    bank_squares: Tensor
    inverse_radius: Tensor

    def __init__(self, bank: Tensor, radius: Tensor) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("bank_squares", squared_lengths(bank))
        self.register_buffer("inverse_radius", radius.reciprocal())

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        return (euclidean(features, self.bank, self.bank_squares) * self.inverse_radius).amin(1)


def fit_density_neighbours(
    features: Tensor, groups: Tensor | None = None, *, count: int = 4, least_radius: float = 1e-6
) -> DensityNeighbours:
    """Fit the local-density normalised nearest neighbour.

    The score is ``min_i d(x, b_i) / rho_i`` with ``rho_i`` the mean distance from the bank item
    ``b_i`` to its ``count`` nearest items of other groups (Wilkinghoff et al., "Local density-based
    anomaly score normalization", ICASSP 2025). ``rho`` is floored at its 5th percentile: a few
    near copies in the bank would otherwise make everything else look far away.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.among_references`.
    count
        Neighbours that ``rho`` is averaged over.
    least_radius
        Smallest ``rho``, in units of the features.

    Raises
    ------
    ValueError
        If some item has no neighbour outside its group.
    """
    between = among_references(features, groups)
    neighbours = usable_neighbours(between, count)
    radius = torch.topk(between, neighbours, dim=1, largest=False).values.mean(1)
    floor = max(float(torch.quantile(radius, FLOOR_QUANTILE)), least_radius)
    return DensityNeighbours(features.clone(), radius.clamp_min(floor))
