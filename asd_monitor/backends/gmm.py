"""Gaussian mixture with full covariances."""

import math

import torch
from torch import Tensor, nn

from asd_monitor.backends.kmeans import kmeans
from asd_monitor.backends.mahalanobis import ledoit_wolf_shrinkage

MAX_ITERATIONS = 200
MIN_GAIN = 1e-4
"""Iterations end when the mean log likelihood rises by less than this."""


class GaussianMixture(nn.Module):
    """Negative log density of a Gaussian mixture.

    Parameters
    ----------
    mean
        ``(components, dims)``.
    root
        ``(components, dims, dims)``: ``root @ root.T`` is a component's inverse covariance.
    offset
        ``(components,)``: log of the factor of the exponential.
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
        deviation = features.unsqueeze(0) - self.mean.unsqueeze(1)  # (components, batch, dims)
        squares = torch.bmm(deviation, self.root).square().sum(2)
        log_density = self.offset.unsqueeze(1) - 0.5 * squares
        if self.best_component:
            return -log_density.amax(0)
        return -torch.logsumexp(log_density, dim=0)


def fit_gmm(
    features: Tensor,
    *,
    components: int = 1,
    shrink: bool = True,
    min_variance: float = 1e-6,
    best_component: bool = False,
    seed: int = 0,
) -> GaussianMixture:
    """Fit a Gaussian mixture by expectation maximisation, initialised by k-means.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    components
        Number of Gaussians; at most the number of vectors.
    shrink
        Ledoit-Wolf shrinkage of every component's covariance, by the vectors that it is most
        likely to have generated. Without it, each component needs several times ``dims`` vectors.
    min_variance
        Added to every variance.
    best_component
        Score by ``-max_k log N_k``, without the weights (Guan et al., arXiv 2305.03328), instead
        of by the negative log likelihood of the mixture.
    seed
        Seed of k-means.
    """
    vectors = features.double()
    centres = kmeans(vectors, components, seed=seed)
    nearest = torch.cdist(vectors, centres).argmin(1)
    responsibility = nn.functional.one_hot(nearest, len(centres)).double()
    mean, root, offset, log_weight = _maximise(vectors, responsibility, shrink, min_variance)
    log_likelihood = -math.inf
    for _ in range(MAX_ITERATIONS if len(centres) > 1 else 0):
        joint = _log_density(vectors, mean, root, offset) + log_weight
        total = torch.logsumexp(joint, dim=1)
        previous, log_likelihood = log_likelihood, float(total.mean())
        if log_likelihood - previous < MIN_GAIN:
            break
        responsibility = (joint - total[:, None]).exp()
        mean, root, offset, log_weight = _maximise(vectors, responsibility, shrink, min_variance)
    offset = offset if best_component else offset + log_weight
    return GaussianMixture(mean.float(), root.float(), offset.float(), best_component)


def _maximise(
    vectors: Tensor, responsibility: Tensor, shrink: bool, min_variance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return means, roots of the precisions, log normalisers and log weights.

    Parameters
    ----------
    responsibility
        ``(items, components)``: probability that a component generated a vector.
    """
    items, dims = vectors.shape
    identity = torch.eye(dims, dtype=vectors.dtype)
    weights = responsibility.sum(0).clamp_min(1e-9)
    means = responsibility.t() @ vectors / weights[:, None]
    roots, offsets = [], []
    for component, mean in enumerate(means):
        centred = vectors - mean
        weighted = centred * responsibility[:, component : component + 1]
        covariance = weighted.t() @ centred / weights[component]
        shrinkage = 0.0
        if shrink:
            likely = centred[responsibility.argmax(1) == component]
            likely = likely - likely.mean(0)
            shrinkage = ledoit_wolf_shrinkage(likely) if len(likely) > 1 else 1.0
        scale = float(covariance.diagonal().mean())
        covariance = (1.0 - shrinkage) * covariance
        covariance += (shrinkage * scale + min_variance) * identity
        lower = torch.linalg.cholesky(covariance)
        inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
        roots.append(inverse.t())
        log_determinant = 2.0 * float(lower.diagonal().log().sum())
        offsets.append(-0.5 * (dims * math.log(2.0 * math.pi) + log_determinant))
    offset = torch.tensor(offsets, dtype=vectors.dtype)
    return means, torch.stack(roots), offset, (weights / items).log()


def _log_density(vectors: Tensor, mean: Tensor, root: Tensor, offset: Tensor) -> Tensor:
    """Return the log density ``(items, components)`` of each component alone."""
    deviation = vectors[None] - mean[:, None]
    return (offset[:, None] - 0.5 * torch.bmm(deviation, root).square().sum(2)).t()
