"""Pooling of patch vectors, and scores of the pooled vectors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget

Pool = Literal["mean", "mean_max", "gem", "rdp", "rdp_gem"]
Bands = Literal["separate", "joined", "pooled"]


def deviation_weights(steps: Tensor, emphasis: float) -> Tensor:
    """Compute the weights of relative deviation pooling.

    ``w_t = (1 + d_t / max d)^g / sum (1 + d / max d)^g`` with the distance ``d_t`` of the step's
    vector from the mean over time and the emphasis ``g`` (Wilkinghoff et al., arXiv 2603.04605,
    section III-E). ``g = 0`` weights all steps equally.

    Parameters
    ----------
    steps
        ``(batch, time, dims)``.
    emphasis
        ``g``, not negative.

    Returns
    -------
    torch.Tensor
        ``(batch, time)``; each row sums to 1.
    """
    deviation = torch.linalg.vector_norm(steps - steps.mean(1, keepdim=True), dim=2)
    largest = deviation.amax(1, keepdim=True)
    relative = deviation / largest.clamp_min(1e-8)  # equal steps have equal weights
    weights = (1.0 + relative).pow(emphasis)
    normalised: Tensor = weights / weights.sum(1, keepdim=True)
    return normalised


def generalised_mean(patches: Tensor, weights: Tensor, power: float) -> Tensor:
    """Compute the weighted generalised mean of the positive parts over time.

    ``(sum_t w_t max(x_t, 0)^p)^(1/p)`` for each value (GeM: Radenovic et al., TPAMI 2019; weighted
    and for embeddings: arXiv 2603.04605, section III-D and III-F). ``p = 1`` is the mean of the
    positive parts, ``p`` to infinity their maximum.

    Parameters
    ----------
    patches
        ``(batch, time, bands, dims)``.
    weights
        ``(batch, time)``; each row sums to 1.
    power
        ``p``, positive.

    Returns
    -------
    torch.Tensor
        ``(batch, bands, dims)``.
    """
    positive = patches.clamp_min(0.0)
    # Relative to the maximum: powers of small values would be zero in float32.
    largest = positive.amax(1)
    relative = positive / largest.unsqueeze(1).clamp_min(1e-30)
    mean = (weights.unsqueeze(2).unsqueeze(3) * relative.pow(power)).sum(1)
    return mean.pow(1.0 / power) * largest


class PatchPooling(nn.Module):
    """Pool the patches of a window into vectors, by default of length 1.

    Parameters
    ----------
    pool
        ``mean``; ``mean_max``: mean and maximum, each scaled to length 1, concatenated; ``gem``:
        :func:`generalised_mean`; ``rdp``: mean with :func:`deviation_weights`, which are common to
        all bands of a time step; ``rdp_gem``: generalised mean with these weights.
    bands
        ``separate``: pool over time only, one vector for each band; ``joined``: these vectors
        concatenated; ``pooled``: pool over time and bands.
    power, emphasis
        Of ``gem`` and ``rdp``.
    normalised
        Whether vectors are scaled to length 1.
    """

    def __init__(
        self,
        pool: Pool,
        bands: Bands,
        power: float = 3.0,
        emphasis: float = 9.0,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        self.pool: str = pool
        self.bands: str = bands
        self.power, self.emphasis = float(power), float(emphasis)
        self.normalised = normalised

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, vectors, values)`` of ``(batch, time, bands, dims)``."""
        if self.bands == "pooled":
            patches = patches.flatten(1, 2).unsqueeze(2)  # (batch, patches, 1, dims)
        pooled = self._join(self._pool(patches))
        if self.pool == "mean_max":
            maximum = self._join(patches.amax(1))
            pooled = torch.cat([F.normalize(pooled, dim=2), F.normalize(maximum, dim=2)], dim=2)
        return F.normalize(pooled, dim=2) if self.normalised else pooled

    def _pool(self, patches: Tensor) -> Tensor:
        if self.pool == "mean" or self.pool == "mean_max":
            return patches.mean(1)
        emphasis = 0.0 if self.pool == "gem" else self.emphasis
        weights = deviation_weights(patches.flatten(2), emphasis)
        if self.pool == "rdp":
            return (weights.unsqueeze(2).unsqueeze(3) * patches).sum(1)
        return generalised_mean(patches, weights, self.power)

    def _join(self, statistic: Tensor) -> Tensor:
        return statistic.flatten(1).unsqueeze(1) if self.bands == "joined" else statistic


class PatchScores(nn.Module):
    """Patches to a score for each pooled vector.

    A loud band does not mask the others, and each band may have its own nearest window ("BEAM",
    arXiv 2603.13749, there with nearest neighbours).

    Parameters
    ----------
    head
        ``(batch, time, bands, dims)`` to ``(batch, vectors, values)``.
    backends
        For each vector, a backend per target.
    """

    def __init__(self, head: nn.Module, backends: Sequence[PerTarget]) -> None:
        super().__init__()
        self.head = head
        self.backends = nn.ModuleList(backends)

    def forward(self, patches: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch, vectors)``; higher = more anomalous."""
        features: Tensor = self.head(patches)
        scores: list[Tensor] = []
        for index, backends in enumerate(self.backends):
            scores.append(backends(features[:, index], target))
        return torch.stack(scores, dim=1)

    @torch.jit.export
    def contributions(self, patches: Tensor, target: Tensor) -> Tensor:
        """Compute the contribution of each time step to the score, by leaving it out.

        ``s + (n - 1) (s - s')`` with ``s'`` the score without one of ``n`` steps. If the score
        were a mean over time, these would be its summands, and their mean is the score.

        Returns
        -------
        torch.Tensor
            ``(batch, vectors, time)``.
        """
        score = self.forward(patches, target)
        steps = patches.shape[1]
        if steps == 1:
            return score.unsqueeze(2)
        contributions: list[Tensor] = []
        for step in range(steps):
            others = torch.cat([patches[:, :step], patches[:, step + 1 :]], dim=1)
            contributions.append(score + (steps - 1) * (score - self.forward(others, target)))
        return torch.stack(contributions, dim=2)
