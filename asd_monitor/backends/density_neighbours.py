"""Distance to the nearest reference vector, relative to the local density there."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.distances import (
    count_usable_neighbours,
    distances_within,
    euclidean,
    squared_lengths,
)

MIN_RADIUS_QUANTILE = 0.05


class DensityNeighbours(nn.Module):
    """Minimum over ``bank`` ``(items, dims)`` of the distance divided by the item's radius."""

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
    features: Tensor, groups: Tensor | None = None, *, count: int = 4, min_radius: float = 1e-6
) -> DensityNeighbours:
    """Fit nearest neighbours normalised by local density.

    The score is ``min_i d(x, b_i) / rho_i`` with ``rho_i`` the mean distance from the bank item
    ``b_i`` to its ``count`` nearest items of other groups (Wilkinghoff et al., "Local density-based
    anomaly score normalization", ICASSP 2025). ``rho`` is at least its 5th percentile: otherwise
    a few near copies in the bank would make everything else look far away.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.distances_within`.
    count
        Number of neighbours over which ``rho`` is averaged.
    min_radius
        Minimum ``rho``, in units of the features.

    Raises
    ------
    ValueError
        If an item has no neighbour outside its group.
    """
    distances = distances_within(features, groups)
    neighbours = count_usable_neighbours(distances, count)
    radius = torch.topk(distances, neighbours, dim=1, largest=False).values.mean(1)
    min_radius = max(float(torch.quantile(radius, MIN_RADIUS_QUANTILE)), min_radius)
    return DensityNeighbours(features.clone(), radius.clamp_min(min_radius))
