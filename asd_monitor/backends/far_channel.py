"""Subtraction of the vectors of a microphone away from the machine."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_VARIANCE = 1e-12


class FarChannelSubtraction(nn.Module):
    """``near - share * far``, scaled to length 1.

    Parameters
    ----------
    share
        ``(dims,)``: how much of each value of the far vector is subtracted.
    """

    share: Tensor

    def __init__(self, share: Tensor) -> None:
        super().__init__()
        self.register_buffer("share", share)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of ``(batch, 2 dims)``: near and far vector, concatenated."""
        near, far = features.chunk(2, dim=1)
        return F.normalize(near - self.share * far, dim=1)


def fit_far_channel(features: Tensor, share: float | None = None) -> FarChannelSubtraction:
    """Fit the subtraction on normal sound.

    Background noise is in both channels, the machine mostly in the near one. With the same share
    for all values this is the subtraction of Kim et al. (DCASE 2026 Task 2), with a share of 0.5.

    Parameters
    ----------
    features
        ``(items, 2 dims)`` float32: near and far vectors of normal sound, concatenated.
    share
        Of all values; None: for each value the slope of the regression of near on far, limited
        to 0 to 1.
    """
    near, far = features.chunk(2, dim=1)
    if share is not None:
        return FarChannelSubtraction(torch.full_like(near[0], share))
    near, far = (part.double() - part.double().mean(0) for part in (near, far))
    slope = (near * far).mean(0) / far.square().mean(0).clamp_min(MIN_VARIANCE)
    return FarChannelSubtraction(slope.clamp(0.0, 1.0).to(features.dtype))
