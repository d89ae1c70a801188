"""Fusion of several backends, each standardised by its scores of held-out normal sound."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Rule = Literal["min", "mean", "log_mean_exp"]
"""``min``: high only if all scores are; ``log_mean_exp``: dominated by the largest score."""

FitBackend = Callable[[Tensor], nn.Module]
"""Fits a backend on the vectors selected by booleans ``(items,)``."""


class NormalisedFusion(nn.Module):
    """Fused standardised scores of several backends.

    Parameters
    ----------
    backends
        Each maps ``(batch, dims)`` to ``(batch,)``.
    centre, scale
        ``(backends,)``: mean and standard deviation of each one's scores of normal sound.
    rule
        How the scores are fused.
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
    fits: Sequence[FitBackend],
    features: Tensor,
    groups: Tensor | None = None,
    *,
    rule: Rule = "min",
    folds: int = 10,
    min_scale: float = 1e-6,
) -> NormalisedFusion:
    """Fit backends on all vectors, and their scales by cross-validation.

    Parameters
    ----------
    fits
        Each fits a backend on the selected vectors; other arguments of the backend, such as the
        vectors' domains, must be selected in the same way.
    features
        ``(items, dims)`` float32 feature vectors of normal sound, at least two groups.
    groups
        ``(items,)`` integers: vectors of the same group, such as a recording, are in the same
        fold. None: every vector is its own group.
    rule
        ``min`` is the best of the fixed rules in arXiv 2606.19269.
    folds
        Number of folds, at most one per group.
    min_scale
        Minimum standard deviation of scores.

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    group = torch.arange(len(features)) if groups is None else groups
    _, group = torch.unique(group, return_inverse=True)  # numbered from 0 without gaps
    folds = min(folds, int(group.max()) + 1)
    if folds < 2:
        raise ValueError("expected feature vectors of at least two groups, found one")
    held_out = torch.empty(len(features), len(fits))
    with torch.no_grad():
        for fold in range(folds):
            held = group % folds == fold
            for index, fit in enumerate(fits):
                held_out[held, index] = fit(~held)(features[held]).float()
        backends = [fit(torch.ones_like(group, dtype=torch.bool)) for fit in fits]
    scale = held_out.std(0, correction=0).clamp_min(min_scale)
    return NormalisedFusion(backends, held_out.mean(0), scale, rule)
