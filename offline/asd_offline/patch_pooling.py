"""From the vectors of a window's patches to the few that are compared with normal ones."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pool = Literal["mean", "mean_max"]
Bands = Literal["apart", "joined", "pooled"]


class PatchPooling(nn.Module):
    """Statistics over the patches of a window, as vectors of length 1.

    Parameters
    ----------
    pool
        The mean, or mean and maximum, each of length 1, one after the other.
    bands
        ``apart``: over time only, a vector for each band; ``joined``: these one after the other,
        as one vector; ``pooled``: over time and bands.
    """

    def __init__(self, pool: Pool, bands: Bands) -> None:
        super().__init__()
        self.with_max = pool == "mean_max"
        self.bands: str = bands

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, vectors, values)`` of ``(batch, time, bands, dims)``."""
        if self.bands == "pooled":
            patches = patches.flatten(1, 2).unsqueeze(2)  # (batch, patches, 1, dims)
        pooled = self._joined(patches.mean(1))
        if self.with_max:
            both = [F.normalize(pooled, dim=2), F.normalize(self._joined(patches.amax(1)), dim=2)]
            pooled = torch.cat(both, dim=2)
        return F.normalize(pooled, dim=2)

    def _joined(self, statistic: Tensor) -> Tensor:
        return statistic.flatten(1).unsqueeze(1) if self.bands == "joined" else statistic


class MeanOverBands(nn.Module):
    """One back end for each vector of a window; the score is the mean of theirs.

    A loud band does not drown the others, and each may find its own most alike window ("BEAM",
    arXiv 2603.13749, there with nearest neighbours).
    """

    def __init__(self, backends: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backends = nn.ModuleList(backends)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, vectors, values)``."""
        total = features.new_zeros(features.shape[0])
        for place, backend in enumerate(self.backends):
            total = total + backend(features[:, place])
        return total / len(self.backends)
