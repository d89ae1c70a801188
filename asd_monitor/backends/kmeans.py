"""k-means, and the cosine distance to its centres."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_ITERATIONS = 100


class CosineCentres(nn.Module):
    """Minimum cosine distance to the rows of ``centres`` ``(items, dims)``, of length 1."""

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
    """Fit k-means on normalised features of the source domain; keep all of the target domain.

    Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
    generalization in anomalous sound detection", ICASSP 2023: 16 centres of the source domain and
    every vector of the target domain; the score is the smallest cosine distance.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    target
        ``(items,)`` booleans: which belong to the target domain; None: none of them.
    clusters
        Number of centres of the source domain; at most its number of vectors.
    seed
        Seed of the initial centres.
    """
    unit = F.normalize(features, dim=1)
    if target is None:
        target = torch.zeros(len(features), dtype=torch.bool)
    source = unit[~target]
    centres = unit[target]
    if len(source):
        source_centres = kmeans(source, clusters, seed=seed)
        centres = torch.cat([F.normalize(source_centres, dim=1), centres])
    return CosineCentres(centres.contiguous())


def kmeans(features: Tensor, clusters: int, *, seed: int = 0, tries: int = 4) -> Tensor:
    """Return cluster centres ``(clusters, dims)``, at most as many as there are vectors.

    Lloyd's algorithm with k-means++ initialisation (Arthur and Vassilvitskii, SODA 2007); the
    best of ``tries`` runs by the sum of squared distances.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = features.double()
    clusters = min(clusters, len(vectors))
    runs = [_lloyd(vectors, _initial_centres(vectors, clusters, generator)) for _ in range(tries)]
    centres, _ = min(runs, key=lambda run: run[1])
    return centres.to(features.dtype)


def _initial_centres(vectors: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(vectors), (1,), generator=generator))]
    nearest = (vectors - vectors[chosen[0]]).square().sum(1)
    while len(chosen) < clusters:
        weights = nearest if float(nearest.sum()) > 0.0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).square().sum(1))
    return vectors[chosen]


def _lloyd(vectors: Tensor, centres: Tensor) -> tuple[Tensor, float]:
    """Return the centres and the sum of squared distances after convergence."""
    nearest = torch.full((len(vectors),), -1)
    for _ in range(MAX_ITERATIONS):
        distances = torch.cdist(vectors, centres)
        previous, nearest = nearest, distances.argmin(1)
        if torch.equal(previous, nearest):
            break
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        counts = torch.bincount(nearest, minlength=len(centres)).to(vectors.dtype)
        filled = counts > 0  # the centre of an empty cluster does not move
        centres = torch.where(filled[:, None], sums / counts.clamp_min(1.0)[:, None], centres)
    cost = float(torch.cdist(vectors, centres).amin(1).square().sum())
    return centres, cost
