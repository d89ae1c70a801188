"""Embeddings of a microphone near the machine and of one away from it."""

import torch
from torch import Tensor, nn

from asd_offline.datasets.audio_files import NEAR_AND_FAR
from asd_offline.features.window_embeddings import WindowEmbeddings


class NearAndFarFrontEnd(nn.Module):
    """Both channels to patches, by the same front end.

    Parameters
    ----------
    front
        ``(batch, samples)`` to ``(batch, time, bands, dims)``.
    """

    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, time, bands, 2 dims)`` of ``(batch, 2, samples)``."""
        near: Tensor = self.front(waveform[:, 0])
        far: Tensor = self.front(waveform[:, 1])
        return torch.cat([near, far], dim=3)


class NearAndFarHead(nn.Module):
    """The vectors of both channels, by the same head.

    Parameters
    ----------
    head
        ``(batch, time, bands, dims)`` to ``(batch, vectors, values)``.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, vectors, 2 values)`` of ``(batch, time, bands, 2 dims)``."""
        near, far = patches.chunk(2, dim=3)
        near_vectors: Tensor = self.head(near)
        far_vectors: Tensor = self.head(far)
        return torch.cat([near_vectors, far_vectors], dim=2)


class NearAndFarEmbeddings(WindowEmbeddings):
    """Rows of the feature cache with the vectors of both channels."""

    channels = NEAR_AND_FAR
