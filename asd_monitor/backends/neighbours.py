"""Distance to the nearest reference vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.distances import euclidean, squared_lengths


class Neighbours(nn.Module):
    """Mean distance to the ``count`` nearest items of ``bank`` ``(items, dims)``."""

    bank: Tensor
    bank_squares: Tensor

    def __init__(self, bank: Tensor, count: int, cosine: bool) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("bank_squares", squared_lengths(bank))
        self.count = count
        self.cosine = cosine

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``."""
        if self.cosine:
            distances = 1.0 - F.normalize(features, dim=1) @ self.bank.t()
        else:
            distances = euclidean(features, self.bank, self.bank_squares)
        nearest = torch.topk(distances, self.count, dim=1, largest=False).values
        return nearest.mean(1)


def fit_neighbours(features: Tensor, *, count: int = 1, cosine: bool = False) -> Neighbours:
    """Fit nearest neighbours: the normal feature vectors are the bank.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    count
        Number of nearest items over which the distance is averaged, at most ``items``.
    cosine
        Cosine distance instead of the Euclidean one.
    """
    bank = F.normalize(features, dim=1) if cosine else features
    return Neighbours(bank.clone(), min(count, len(bank)), cosine)
