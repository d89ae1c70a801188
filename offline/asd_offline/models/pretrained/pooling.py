"""Pooling of patch vectors, and scores of the pooled vectors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget

Pool = Literal["mean", "mean_max"]
Bands = Literal["separate", "joined", "pooled"]


class PatchPooling(nn.Module):
    """Pool the patches of a window into vectors of length 1.

    Parameters
    ----------
    pool
        The mean; or mean and maximum, each scaled to length 1, concatenated.
    bands
        ``separate``: pool over time only, one vector for each band; ``joined``: these vectors
        concatenated; ``pooled``: pool over time and bands.
    """

    def __init__(self, pool: Pool, bands: Bands) -> None:
        super().__init__()
        self.with_max = pool == "mean_max"
        self.bands: str = bands

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, vectors, values)`` of ``(batch, time, bands, dims)``."""
        if self.bands == "pooled":
            patches = patches.flatten(1, 2).unsqueeze(2)  # (batch, patches, 1, dims)
        pooled = self._join(patches.mean(1))
        if self.with_max:
            maximum = self._join(patches.amax(1))
            pooled = torch.cat([F.normalize(pooled, dim=2), F.normalize(maximum, dim=2)], dim=2)
        return F.normalize(pooled, dim=2)

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
