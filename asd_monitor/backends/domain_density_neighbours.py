"""Nearest neighbours relative to the local density, in each domain separately."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import DensityNeighbours, fit_density_neighbours


class DomainDensityNeighbours(nn.Module):
    """Smaller of the normalised distances to the two domains.

    Parameters
    ----------
    source, target
        Scores of each domain.
    source_count, target_count
        The normalised distances are divided by these.
    """

    def __init__(
        self,
        source: DensityNeighbours,
        target: DensityNeighbours,
        source_count: int,
        target_count: int,
    ) -> None:
        super().__init__()
        self.source, self.target = source, target
        self.source_scale, self.target_scale = 1.0 / source_count, 1.0 / target_count

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        source = self.source_scale * self.source(features)
        target = self.target_scale * self.target(features)
        return torch.minimum(source, target)


def fit_domain_density_neighbours(
    features: Tensor,
    is_target_domain: Tensor,
    groups: Tensor | None = None,
    *,
    source_count: int = 16,
    target_count: int = 9,
    min_radius: float = 1e-6,
) -> nn.Module:
    """Fit density-normalised neighbours in each domain.

    The score is ``min_i d(x, b_i) / sum_k d(b_i, b_k)`` over the items ``b_i`` of both domains,
    where ``b_k`` are the ``source_count`` or ``target_count`` nearest items of the same domain as
    ``b_i`` (Saengthong and Shinozaki, "GenRep for first-shot unsupervised anomalous sound
    detection", DCASE 2025 Task 2, equation 5). If a domain has fewer items, the sum is
    extrapolated from their mean. With one domain, or fewer than two groups in one of them, this is
    :func:`~asd_monitor.backends.density_neighbours.fit_density_neighbours`.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    is_target_domain
        ``(items,)`` booleans.
    groups
        ``(items,)`` integers: items of the same group are not neighbours of each other.
    source_count, target_count
        Number of neighbours in each domain.
    min_radius
        Minimum mean distance to the neighbours, in units of the features.

    Raises
    ------
    ValueError
        If all items are of one group.
    """
    group = torch.arange(len(features)) if groups is None else groups
    domains = [~is_target_domain, is_target_domain]
    if min(len(torch.unique(group[domain])) for domain in domains) < 2:
        return fit_density_neighbours(features, group, count=source_count, min_radius=min_radius)
    counts = (source_count, target_count)
    source, target = (
        fit_density_neighbours(features[domain], group[domain], count=count, min_radius=min_radius)
        for domain, count in zip(domains, counts, strict=True)
    )
    return DomainDensityNeighbours(source, target, *counts)
