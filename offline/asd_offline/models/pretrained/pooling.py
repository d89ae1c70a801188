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


class ByBand(nn.Module):
    """One back end for each vector of a window.

    A loud band does not drown the others, and each may find its own most alike window ("BEAM",
    arXiv 2603.13749, there with nearest neighbours).
    """

    def __init__(self, backends: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backends = nn.ModuleList(backends)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch, vectors)`` of ``features`` ``(batch, vectors, values)``."""
        scores: list[Tensor] = []
        for place, backend in enumerate(self.backends):
            scores.append(backend(features[:, place]))
        return torch.stack(scores, dim=1)


class BandScores(nn.Module):
    """Patches to a score for each vector of a window, with back ends for each target.

    Parameters
    ----------
    head
        ``(batch, time, bands, dims)`` to ``(batch, vectors, values)``.
    targets
        In the order of the manifest's targets.
    """

    def __init__(self, head: nn.Module, targets: Sequence[ByBand]) -> None:
        super().__init__()
        self.head = head
        self.targets = nn.ModuleList(targets)

    def forward(self, patches: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, vectors)``; higher = more anomalous."""
        features: Tensor = self.head(patches)
        scores = torch.zeros_like(features[:, :, 0])
        for index, backends in enumerate(self.targets):
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                scores[rows] = backends(features[rows])
        return scores

    @torch.jit.export
    def of_patches(self, patches: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, vectors, time)``: what each moment adds to the score.

        ``s + (n - 1) (s - s')`` with ``s'`` the score without that moment, of ``n``: were the
        score a mean over moments, these would be its summands, and their mean is the score.
        """
        whole = self.forward(patches, target)
        moments = patches.shape[1]
        if moments == 1:
            return whole.unsqueeze(2)
        added: list[Tensor] = []
        for moment in range(moments):
            rest = torch.cat([patches[:, :moment], patches[:, moment + 1 :]], dim=1)
            added.append(whole + (moments - 1) * (whole - self.forward(rest, target)))
        return torch.stack(added, dim=2)
