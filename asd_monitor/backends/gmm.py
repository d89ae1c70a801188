"""Gaussian mixture with full, shrunk covariances."""

import math

import torch
from torch import Tensor, nn

from asd_monitor.backends.kmeans import kmeans
from asd_monitor.backends.mahalanobis import ledoit_wolf_shrinkage

ROUNDS_AT_MOST = 200
GAIN_AT_LEAST = 1e-4


class GaussianMixture(nn.Module):
    """Negative log density.

    Parameters
    ----------
    mean
        ``(components, dims)``.
    root
        ``(components, dims, dims)``: ``root @ root.T`` is a component's inverse covariance.
    offset
        ``(components,)``: log of what the exponential is multiplied with.
    best_component
        Score by the nearest component alone instead of by the mixture.
    """

    mean: Tensor
    root: Tensor
    offset: Tensor

    def __init__(self, mean: Tensor, root: Tensor, offset: Tensor, best_component: bool) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)
        self.register_buffer("offset", offset)
        self.best_component = best_component

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` in nats of ``features`` ``(batch, dims)``."""
        away = features.unsqueeze(0) - self.mean.unsqueeze(1)  # (components, batch, dims)
        squares = torch.bmm(away, self.root).square().sum(2)
        log_density = self.offset.unsqueeze(1) - 0.5 * squares
        if self.best_component:
            return -log_density.amax(0)
        return -torch.logsumexp(log_density, dim=0)


def fit_gmm(
    features: Tensor,
    *,
    components: int = 1,
    shrink: bool = True,
    least_variance: float = 1e-6,
    best_component: bool = False,
    seed: int = 0,
) -> GaussianMixture:
    """Fit a Gaussian mixture by expectation maximisation from k-means.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    components
        How many Gaussians; at most as many as there are vectors.
    shrink
        Ledoit-Wolf shrinkage of every component's covariance by the vectors that are nearest to
        it; without, several times ``dims`` vectors for each component are needed.
    least_variance
        Added to every variance.
    best_component
        Score by ``-max_k log N_k``, without the weights (Guan et al., arXiv 2305.03328), instead
        of by the negative log likelihood of the mixture.
    seed
        Of k-means.
    """
    vectors = features.double()
    centres = kmeans(vectors, components, seed=seed)
    share = nn.functional.one_hot(torch.cdist(vectors, centres).argmin(1), len(centres)).double()
    before = -math.inf
    mean, root, offset, log_weight = _maximise(vectors, share, shrink, least_variance)
    for _ in range(ROUNDS_AT_MOST if len(centres) > 1 else 0):
        joint = _log_density(vectors, mean, root, offset) + log_weight
        total = torch.logsumexp(joint, dim=1)
        now = float(total.mean())
        if now - before < GAIN_AT_LEAST:
            break
        before = now
        share = (joint - total[:, None]).exp()
        mean, root, offset, log_weight = _maximise(vectors, share, shrink, least_variance)
    offset = offset if best_component else offset + log_weight
    return GaussianMixture(mean.float(), root.float(), offset.float(), best_component)


def _maximise(
    vectors: Tensor, share: Tensor, shrink: bool, least_variance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return means, roots of the precisions, log normalisers and log weights."""
    items, dims = vectors.shape
    weights = share.sum(0).clamp_min(1e-9)
    means = share.t() @ vectors / weights[:, None]
    roots, offsets = [], []
    for each in range(len(means)):
        centred = vectors - means[each]
        covariance = (centred * share[:, each : each + 1]).t() @ centred / weights[each]
        nearest = centred[share.argmax(1) == each]
        weight = _shrinkage(nearest) if shrink else 0.0
        scale = float(covariance.diagonal().mean())
        covariance = (1.0 - weight) * covariance
        covariance += (weight * scale + least_variance) * torch.eye(dims, dtype=vectors.dtype)
        lower = torch.linalg.cholesky(covariance)
        identity = torch.eye(dims, dtype=vectors.dtype)
        inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
        roots.append(inverse.t())
        log_determinant = 2.0 * float(lower.diagonal().log().sum())
        offsets.append(-0.5 * (dims * math.log(2.0 * math.pi) + log_determinant))
    offset = torch.tensor(offsets, dtype=vectors.dtype)
    return means, torch.stack(roots), offset, (weights / items).log()


def _shrinkage(nearest: Tensor) -> float:
    if len(nearest) < 2:
        return 1.0
    return ledoit_wolf_shrinkage(nearest - nearest.mean(0))


def _log_density(vectors: Tensor, mean: Tensor, root: Tensor, offset: Tensor) -> Tensor:
    away = vectors[None] - mean[:, None]
    return (offset[:, None] - 0.5 * torch.bmm(away, root).square().sum(2)).t()
