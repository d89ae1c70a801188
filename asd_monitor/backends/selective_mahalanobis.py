"""Mahalanobis distance with a covariance for each domain; the better one counts."""

import torch
from torch import Tensor, nn

from asd_monitor.backends.mahalanobis import ledoit_wolf_shrinkage


class SelectiveMahalanobis(nn.Module):
    """Smallest squared Mahalanobis distance to a domain's normal sound.

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
        away = features.unsqueeze(0) - self.mean.unsqueeze(1)  # (domains, batch, dims)
        return ((away @ self.precision) * away).sum(2).amin(0)


def fit_selective_mahalanobis(
    features: Tensor,
    target: Tensor | None = None,
    *,
    centred: bool = True,
    shrink: bool = True,
    least_variance: float = 1e-6,
) -> SelectiveMahalanobis:
    """Fit a mean and a covariance for each domain.

    Harada et al., "First-shot anomaly sound detection for machine condition monitoring: a domain
    generalization baseline", EUSIPCO 2023, equation 4.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    target
        ``(items,)`` booleans: which belong to the target domain. With None, or fewer than two of
        a domain, all vectors make up one domain.
    centred
        Measure from each domain's mean; False: from zero, as the baseline does with residuals.
    shrink
        Ledoit-Wolf shrinkage, needed with fewer than several times ``dims`` vectors; the baseline
        has none.
    least_variance
        Added to every variance.
    """
    domains = [features]
    if target is not None and 2 <= int(target.sum()) <= len(features) - 2:
        domains = [features[~target], features[target]]
    precisions = [_precision(each, shrink, least_variance) for each in domains]
    means = [each.double().mean(0) * float(centred) for each in domains]
    return SelectiveMahalanobis(torch.stack(means).float(), torch.stack(precisions).float())


def _precision(features: Tensor, shrink: bool, least_variance: float) -> Tensor:
    centred = features.double() - features.double().mean(0)
    covariance = centred.t() @ centred / len(centred)
    dims = len(covariance)
    unit = torch.eye(dims, dtype=covariance.dtype)
    weight = ledoit_wolf_shrinkage(centred) if shrink else 0.0
    scale = float(covariance.diagonal().mean())
    shrunk = (1.0 - weight) * covariance + (weight * scale + least_variance) * unit
    inverse: Tensor = torch.linalg.inv(shrunk)
    return inverse
