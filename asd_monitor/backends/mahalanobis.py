"""Mahalanobis distance and whitening with a shrunk covariance."""

import torch
from torch import Tensor, nn


class Whitening(nn.Module):
    """Subtraction of ``mean`` ``(dims,)`` and product with ``matrix`` ``(dims, dims)``."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    def forward(self, features: Tensor) -> Tensor:
        """Return the whitened ``(batch, dims)``."""
        return torch.matmul(features - self.mean, self.matrix)


class Mahalanobis(nn.Module):
    """Mahalanobis distance: the length of the whitened vector."""

    def __init__(self, whitening: Whitening) -> None:
        super().__init__()
        self.whitening = whitening

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        whitened: Tensor = self.whitening(features)
        return whitened.square().sum(1).sqrt()


def ledoit_wolf_shrinkage(centred: Tensor) -> float:
    """Return the weight in [0, 1] of the scaled identity in the shrunk covariance.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88 (2004), equation 14 and lemma 3.3 to 3.5.

    Parameters
    ----------
    centred
        ``(items, dims)`` vectors with zero mean.
    """
    items, dims = centred.shape
    gram = centred @ centred.t() if items < dims else centred.t() @ centred
    squared_norm = float((gram * gram).sum()) / items**2  # of the covariance
    trace = float(gram.diagonal().sum()) / items
    fourth = float((centred * centred).sum(1).square().sum()) / items
    distance = squared_norm - trace**2 / dims
    noise = min((fourth - squared_norm) / items, distance)
    return noise / distance if noise > 0.0 and distance > 0.0 else 0.0


def fit_whitening(features: Tensor, *, min_variance: float = 1e-6) -> Whitening:
    """Fit the whitening of the Ledoit-Wolf shrunk covariance.

    It needs no more vectors than dimensions: directions that the vectors do not span have the
    variance of the shrinkage target.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    min_variance
        Added to every variance, so that scores stay finite for features that never change.
    """
    mean = features.double().mean(0)
    centred = features.double() - mean
    items, dims = centred.shape
    shrinkage = ledoit_wolf_shrinkage(centred)
    rest = shrinkage * float((centred * centred).sum()) / (items * dims) + min_variance
    variances, directions = _principal_axes(centred)
    gains = ((1.0 - shrinkage) * variances + rest).rsqrt() - rest**-0.5
    matrix = (directions * gains) @ directions.t() + torch.eye(dims).double() * rest**-0.5
    return Whitening(mean.float(), matrix.float().contiguous())


def fit_mahalanobis(features: Tensor, *, min_variance: float = 1e-6) -> Mahalanobis:
    """Fit the Mahalanobis distance under the Ledoit-Wolf shrunk covariance.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    min_variance
        Added to every variance, so that scores stay finite for features that never change.
    """
    return Mahalanobis(fit_whitening(features, min_variance=min_variance))


def _principal_axes(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return variances ``(axes,)`` and directions ``(dims, axes)`` from the smaller Gram matrix."""
    items, dims = centred.shape
    if items >= dims:
        variances, directions = torch.linalg.eigh(centred.t() @ centred / items)
        return variances.clamp_min(0.0), directions
    variances, weights = torch.linalg.eigh(centred @ centred.t() / items)
    nonzero = variances > variances[-1] * 1e-10
    variances, weights = variances[nonzero], weights[:, nonzero]
    return variances, centred.t() @ weights / (variances * items).sqrt()
