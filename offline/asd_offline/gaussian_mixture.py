"""Gaussian mixtures as a back end: how unlikely a vector is under its likeliest component."""

import math

import torch
from torch import Tensor, nn

LEAST_VARIANCE = 1e-3
"""Added to every variance (STgram-MFN)."""


class GaussianMixtureScore(nn.Module):
    """Negative log density of the component that explains a vector best, its weight left out."""

    means: Tensor
    whitening: Tensor
    constants: Tensor

    def __init__(self, means: Tensor, whitening: Tensor) -> None:
        super().__init__()
        dims = means.shape[1]
        log_det = whitening.double().diagonal(dim1=1, dim2=2).log().sum(1)
        self.register_buffer("means", means)
        self.register_buffer("whitening", whitening)
        constants = 0.5 * dims * math.log(2.0 * math.pi) - log_det
        self.register_buffer("constants", constants.to(means.dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``; higher = more anomalous."""
        apart = features.unsqueeze(0) - self.means.unsqueeze(1)  # (components, batch, dims)
        whitened = torch.bmm(apart, self.whitening)
        energy = 0.5 * whitened.square().sum(2) + self.constants.unsqueeze(1)
        return energy.amin(0)


def fit_gaussian_mixture(
    features: Tensor, components: int = 1, *, means: Tensor | None = None
) -> GaussianMixtureScore:
    """Fit a mixture with full covariances by expectation maximisation.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    components
        How many; no more than there are items.
    means
        ``(components, dims)`` to start from; k-means decides where None.
    """
    from sklearn.mixture import GaussianMixture

    count = max(1, min(components, len(features)))
    start = means.double().numpy() if means is not None and len(means) == count else None
    mixture = GaussianMixture(
        count, covariance_type="full", reg_covar=LEAST_VARIANCE, means_init=start, random_state=0
    )
    mixture.fit(features.double().numpy())
    found = torch.from_numpy(mixture.means_).float()
    # scikit-learn's factor U of the precision U U^T has a positive diagonal.
    return GaussianMixtureScore(found, torch.from_numpy(mixture.precisions_cholesky_).float())
