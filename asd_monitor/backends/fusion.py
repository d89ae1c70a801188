"""Several back ends with one voice, each on the scale of its own scores of unseen normal sound."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Rule = Literal["min", "mean", "log_mean_exp"]
"""How the voices become one: all must find it odd; on average; one clear voice suffices."""

Fit = Callable[[Tensor], nn.Module]
"""Fits a back end on the vectors that booleans ``(items,)`` choose."""


class NormalisedFusion(nn.Module):
    """Standardised scores of several back ends, put together.

    Parameters
    ----------
    backends
        Each maps ``(batch, dims)`` to ``(batch,)``.
    centre, scale
        ``(backends,)``: mean and standard deviation of each one's scores of normal sound.
    rule
        How they become one.
    """

    centre: Tensor
    inverse_scale: Tensor

    def __init__(
        self, backends: Sequence[nn.Module], centre: Tensor, scale: Tensor, rule: Rule
    ) -> None:
        super().__init__()
        self.backends = nn.ModuleList(backends)
        self.register_buffer("centre", centre)
        self.register_buffer("inverse_scale", scale.reciprocal())
        self.rule: str = rule

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``, in standard deviations."""
        scores: list[Tensor] = []
        for backend in self.backends:
            scores.append(backend(features))
        scaled = (torch.stack(scores, dim=1) - self.centre) * self.inverse_scale
        if self.rule == "min":
            return scaled.amin(1)
        if self.rule == "mean":
            return scaled.mean(1)
        return torch.logsumexp(scaled, dim=1) - math.log(scaled.shape[1])


def fit_normalised_fusion(
    fits: Sequence[Fit],
    features: Tensor,
    groups: Tensor | None = None,
    *,
    rule: Rule = "min",
    folds: int = 10,
    least_scale: float = 1e-6,
) -> NormalisedFusion:
    """Fit back ends on all vectors, and their scales by scoring each vector without its fold.

    Parameters
    ----------
    fits
        Each fits a back end on some of the vectors: what it needs beside them, such as their
        domain, it chooses in the same way.
    features
        ``(items, dims)`` float32 feature vectors of normal sound, at least two groups.
    groups
        ``(items,)`` integers: vectors of one recording, say, are in the same fold. None: every
        vector is its own group.
    rule
        ``min`` is what arXiv 2606.19269 found best of the fixed rules.
    folds
        In how many parts the groups are divided.
    least_scale
        Smallest standard deviation of scores.

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    numbers = torch.arange(len(features)) if groups is None else groups
    _, place = torch.unique(numbers, return_inverse=True)
    folds = min(folds, int(place.max()) + 1)
    if folds < 2:
        raise ValueError("expected feature vectors of at least two groups, found one")
    held_out = torch.empty(len(features), len(fits))
    with torch.no_grad():
        for fold in range(folds):
            held = place % folds == fold
            for each, fit in enumerate(fits):
                held_out[held, each] = fit(~held)(features[held]).float()
        backends = [fit(torch.ones_like(place, dtype=torch.bool)) for fit in fits]
    scale = held_out.std(0, correction=0).clamp_min(least_scale)
    return NormalisedFusion(backends, held_out.mean(0), scale, rule)
