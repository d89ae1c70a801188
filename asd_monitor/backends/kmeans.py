"""k-means, and the cosine distance to its centres."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROUNDS_AT_MOST = 100


class CosineCentres(nn.Module):
    """Smallest cosine distance to a row of ``centres`` ``(items, dims)`` of length 1."""

    centres: Tensor

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` in [0, 2] of ``features`` ``(batch, dims)``."""
        return 1.0 - (F.normalize(features, dim=1) @ self.centres.t()).amax(1)


def fit_cosine_kmeans(
    features: Tensor, target: Tensor | None = None, *, clusters: int = 16, seed: int = 0
) -> CosineCentres:
    """Fit k-means on normalised features, and keep those of the target domain as they are.

    Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
    generalization in anomalous sound detection", ICASSP 2023: 16 centres of the source domain and
    every vector of the target domain; the score is the smallest cosine distance.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    target
        ``(items,)`` booleans: which belong to the target domain; None: none.
    clusters
        Centres for the source domain; at most as many as it has vectors.
    seed
        Of the start of k-means.
    """
    unit = F.normalize(features, dim=1)
    if target is None:
        target = torch.zeros(len(features), dtype=torch.bool)
    source = unit[~target]
    centres = unit[target]
    if len(source):
        found = kmeans(source, clusters, seed=seed)
        centres = torch.cat([F.normalize(found, dim=1), centres])
    return CosineCentres(centres.contiguous())


def kmeans(features: Tensor, clusters: int, *, seed: int = 0, tries: int = 4) -> Tensor:
    """Return cluster centres ``(clusters, dims)``, fewer where there are fewer vectors.

    Lloyd's algorithm from k-means++ starts (Arthur and Vassilvitskii, SODA 2007); of several
    tries the one with the smallest sum of squared distances.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = features.double()
    clusters = min(clusters, len(vectors))
    found = [_lloyd(vectors, _start(vectors, clusters, generator)) for _ in range(tries)]
    return min(found, key=lambda each: each[1])[0].to(features.dtype)


def _start(vectors: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(vectors), (1,), generator=generator))]
    nearest = (vectors - vectors[chosen[0]]).square().sum(1)
    while len(chosen) < clusters:
        weights = nearest if float(nearest.sum()) > 0.0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).square().sum(1))
    return vectors[chosen]


def _lloyd(vectors: Tensor, centres: Tensor) -> tuple[Tensor, float]:
    nearest = torch.full((len(vectors),), -1)
    for _ in range(ROUNDS_AT_MOST):
        distances = torch.cdist(vectors, centres)
        before, nearest = nearest, distances.argmin(1)
        if torch.equal(before, nearest):
            break
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        counts = torch.bincount(nearest, minlength=len(centres)).to(vectors.dtype)
        filled = counts > 0  # an empty cluster stays where it is
        centres = torch.where(filled[:, None], sums / counts.clamp_min(1.0)[:, None], centres)
    cost = float(torch.cdist(vectors, centres).amin(1).square().sum())
    return centres, cost
