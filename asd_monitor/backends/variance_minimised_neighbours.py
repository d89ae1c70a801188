"""Distance to the nearest reference vector, corrected for the local density as far as it helps."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.distances import (
    count_usable_neighbours,
    distances_within,
    euclidean,
    squared_lengths,
)

MIN_RADIUS_QUANTILE = 0.05
MIN_VARIANCE = 1e-12


class VarianceMinimisedNeighbours(nn.Module):
    """Minimum over ``bank`` ``(items, dims)`` of the log distance minus the item's offset."""

    bank: Tensor
    bank_squares: Tensor
    offset: Tensor

    def __init__(self, bank: Tensor, offset: Tensor, min_distance: float) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("bank_squares", squared_lengths(bank))
        self.register_buffer("offset", offset)
        self.min_distance = min_distance

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        distances = euclidean(features, self.bank, self.bank_squares)
        return (distances.clamp_min(self.min_distance).log() - self.offset).amin(1)


def fit_variance_minimised_neighbours(
    features: Tensor, groups: Tensor | None = None, *, count: int = 1, min_radius: float = 1e-6
) -> VarianceMinimisedNeighbours:
    """Fit nearest neighbours whose log distance is corrected by a share of the log local density.

    The score is ``min_i (log d(x, b_i) - a log rho_i)`` with ``rho_i`` as in
    :func:`~asd_monitor.backends.density_neighbours.fit_density_neighbours`. ``a`` minimises the
    variance of the scores ``log d(b_j, b_i) - a log rho_i`` of the items ``b_j`` with their nearest
    items ``b_i``: it is the covariance of the two logarithms divided by the variance of the second
    (normalisation with variance minimisation in the log domain, as in Wilkinghoff et al.,
    "Temporal pooling strategies for training-free anomalous sound detection", arXiv 2603.04605).
    ``a = 1`` is the density normalisation, ``a = 0`` the plain distance.

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
        Minimum ``rho``, and minimum distance, in units of the features.

    Raises
    ------
    ValueError
        If an item has no neighbour outside its group.
    """
    distances = distances_within(features, groups)
    neighbours = count_usable_neighbours(distances, count)
    radius = torch.topk(distances, neighbours, dim=1, largest=False).values.mean(1)
    lowest = max(float(torch.quantile(radius, MIN_RADIUS_QUANTILE)), min_radius)
    log_radius = radius.clamp_min(lowest).double().log()
    nearest, items = distances.min(dim=1)
    log_nearest = nearest.clamp_min(min_radius).double().log()
    offset = _regression_slope(log_radius[items], log_nearest) * log_radius
    return VarianceMinimisedNeighbours(features.clone(), offset.to(features.dtype), min_radius)


def _regression_slope(x: Tensor, y: Tensor) -> float:
    """Return the slope of the regression of ``y`` on ``x``; 0 if ``x`` is constant."""
    deviations = x - x.mean()
    variance = float(deviations.square().mean())
    if variance <= MIN_VARIANCE:
        return 0.0
    return float((deviations * (y - y.mean())).mean()) / variance
