"""Mahalanobis distance with a covariance for each domain; the smaller distance counts."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.mahalanobis import ledoit_wolf_shrinkage


class SelectiveMahalanobis(nn.Module):
    """Minimum over the domains of the squared Mahalanobis distance.

    Parameters
    ----------
    mean
        ``(domains, dims)``.
    precision
        ``(domains, dims, dims)``: inverse covariances.
    """

    mean: Tensor
    precision: Tensor

    def __init__(self, mean: Tensor, precision: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("precision", precision)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        deviation = features.unsqueeze(0) - self.mean.unsqueeze(1)  # (domains, batch, dims)
        return ((deviation @ self.precision) * deviation).sum(2).amin(0)


def fit_selective_mahalanobis(
    features: Tensor,
    target: Tensor | None = None,
    *,
    centred: bool = True,
    shrink: bool = True,
    min_variance: float = 1e-6,
) -> SelectiveMahalanobis:
    """Fit a mean and a covariance for each domain.

    Harada et al., "First-shot anomaly sound detection for machine condition monitoring: a domain
    generalization baseline", EUSIPCO 2023, equation 4.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    target
        ``(items,)`` booleans: which belong to the target domain. If it is None, or a domain has
        fewer than two vectors, all vectors form one domain.
    centred
        Measure from each domain's mean; False: from zero, as the baseline does with residuals.
    shrink
        Ledoit-Wolf shrinkage, which is needed unless there are several times ``dims`` vectors;
        the baseline has none.
    min_variance
        Added to every variance.
    """
    domains = [features]
    if target is not None and 2 <= int(target.sum()) <= len(features) - 2:
        domains = [features[~target], features[target]]
    precisions = [_precision(vectors, shrink, min_variance) for vectors in domains]
    means = [vectors.double().mean(0) * float(centred) for vectors in domains]
    return SelectiveMahalanobis(torch.stack(means).float(), torch.stack(precisions).float())


def _precision(features: Tensor, shrink: bool, min_variance: float) -> Tensor:
    centred = features.double() - features.double().mean(0)
    covariance = centred.t() @ centred / len(centred)
    dims = len(covariance)
    unit = torch.eye(dims, dtype=covariance.dtype)
    weight = ledoit_wolf_shrinkage(centred) if shrink else 0.0
    scale = float(covariance.diagonal().mean())
    shrunk = (1.0 - weight) * covariance + (weight * scale + min_variance) * unit
    inverse: Tensor = torch.linalg.inv(shrunk)
    return inverse
