"""One back end for each target of a model file."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PerTarget(nn.Module):
    """Score every row with the back end of its target.

    Parameters
    ----------
    backends
        One module per target, in the order of the manifest's targets, each mapping
        ``(batch, dims)`` to ``(batch,)``.
    """

    def __init__(self, backends: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backends = nn.ModuleList(backends)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``, ``target`` ``(batch,)``."""
        scores = torch.zeros(features.shape[0], dtype=features.dtype, device=features.device)
        for index, backend in enumerate(self.backends):
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                scores[rows] = backend(features[rows])
        return scores
