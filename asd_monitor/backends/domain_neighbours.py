"""Nearest neighbours in two domains, the smaller of which is oversampled."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.neighbours import Neighbours, fit_neighbours


class DomainNeighbours(nn.Module):
    """Smaller of the distances to the nearest neighbours in the two domains."""

    def __init__(self, source: Neighbours, target: Neighbours) -> None:
        super().__init__()
        self.source = source
        self.target = target

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        return torch.minimum(self.source(features), self.target(features))


def fit_domain_neighbours(
    features: Tensor,
    target: Tensor | None = None,
    *,
    count: int = 1,
    cosine: bool = True,
    share: float = 0.2,
    seed: int = 0,
) -> nn.Module:
    """Fit nearest neighbours in each domain, the target domain oversampled by SMOTE.

    The score is the smaller of the two distances (Fujimura et al., arXiv 2507.10264; SMOTE:
    Chawla et al., JAIR 2002).

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    target
        ``(items,)`` booleans: which belong to the target domain. If it is None, or all vectors
        are of one domain, this is :func:`~asd_monitor.backends.neighbours.fit_neighbours`.
    count, cosine
        As there.
    share
        Size of the target domain's bank relative to the source domain's; 0 disables SMOTE.
    seed
        Seed of the oversampling.
    """
    if target is None or bool(target.all()) or not bool(target.any()):
        return fit_neighbours(features, count=count, cosine=cosine)
    source_bank = features[~target]
    target_bank = oversample(features[target], round(share * len(source_bank)), seed=seed)
    return DomainNeighbours(
        fit_neighbours(source_bank, count=count, cosine=cosine),
        fit_neighbours(target_bank, count=count, cosine=cosine),
    )


def oversample(features: Tensor, count: int, *, neighbours: int = 2, seed: int = 0) -> Tensor:
    """Add points between vectors and their nearest neighbours, up to ``count`` vectors (SMOTE).

    Parameters
    ----------
    features
        ``(items, dims)``; they come first in the result.
    neighbours
        Each new point lies between a vector and one of this many nearest ones, by cosine.
    """
    missing = count - len(features)
    if missing <= 0 or len(features) < 2:
        return features
    generator = torch.Generator().manual_seed(seed)
    unit = F.normalize(features, dim=1)
    similarity = (unit @ unit.t()).fill_diagonal_(-torch.inf)
    nearest = similarity.topk(min(neighbours, len(features) - 1), dim=1).indices
    first = torch.randint(len(features), (missing,), generator=generator)
    rank = torch.randint(nearest.shape[1], (missing,), generator=generator)
    second = nearest[first, rank]
    fraction = torch.rand(missing, 1, generator=generator, dtype=features.dtype)
    added = features[first] + fraction * (features[second] - features[first])
    return torch.cat([features, added])
