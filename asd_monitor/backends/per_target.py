"""Selection of the module for each row's target."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PerTarget(nn.Module):
    """One module for each target, applied to the rows of that target.

    Parameters
    ----------
    backends
        One module per target, in the order of the manifest's targets, each mapping rows
        ``(batch, ...)`` to rows: a backend maps ``(batch, dims)`` to scores ``(batch,)``.
    """

    def __init__(self, backends: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backends = nn.ModuleList(backends)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the results ``(batch, ...)`` of ``features`` ``(batch, ...)``.

        Parameters
        ----------
        target
            ``(batch,)`` int64: index of each row's target.
        """
        results: Tensor | None = None
        for index, backend in enumerate(self.backends):
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                part: Tensor = backend(features[rows])
                if results is None:
                    shape = [features.shape[0]] + list(part.shape[1:])  # noqa: RUF005 - TorchScript
                    results = part.new_zeros(shape)
                results[rows] = part
        return features.new_zeros(features.shape[0]) if results is None else results
