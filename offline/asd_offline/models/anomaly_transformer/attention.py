"""Anomaly attention: self-attention, and a learned Gaussian prior over neighbouring frames.

Xu et al., "Anomaly Transformer: Time series anomaly detection with association discrepancy",
ICLR 2022. An anomaly is associated only with its neighbours, so its attention is close to the
prior.
"""

import math

import torch
from torch import Tensor, nn

EPSILON = 1e-4
"""Keeps logarithms finite; as published."""


def gaussian_prior(sigma: Tensor) -> Tensor:
    """Compute the prior association: a Gaussian about each frame, normalised per row.

    Parameters
    ----------
    sigma
        ``(..., frames)`` standard deviations in frames, above 0.

    Returns
    -------
    torch.Tensor
        ``(..., frames, frames)``, rows sum to one.
    """
    frames = sigma.shape[-1]
    position = torch.arange(frames, device=sigma.device, dtype=sigma.dtype)
    squared_distance = (position.unsqueeze(0) - position.unsqueeze(1)).square()
    # The density's constant cancels in the normalisation; the softmax is stable for small sigma.
    return torch.softmax(-squared_distance / (2.0 * sigma.unsqueeze(-1).square()), dim=-1)


def divergence(p: Tensor, q: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Compute the Kullback-Leibler divergence of each frame's row, averaged over heads.

    Parameters
    ----------
    p, q
        ``(batch, heads, frames, frames)``, rows sum to one.
    epsilon
        Keeps logarithms finite.

    Returns
    -------
    torch.Tensor
        ``(batch, frames)``.
    """
    return (p * ((p + epsilon).log() - (q + epsilon).log())).sum(-1).mean(1)


class AnomalyAttention(nn.Module):
    """Self-attention that also returns its associations (equation 2)."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        if dims % heads:
            raise ValueError(f"expected dims divisible by {heads} heads, got {dims}")
        self.heads = heads
        self.query = nn.Linear(dims, dims)
        self.key = nn.Linear(dims, dims)
        self.value = nn.Linear(dims, dims)
        self.width = nn.Linear(dims, heads)
        self.out = nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute attention, series association and prior association.

        Parameters
        ----------
        x
            ``(batch, frames, dims)``.

        Returns
        -------
        tuple
            Attention output ``(batch, frames, dims)``; series association and prior association,
            each ``(batch, heads, frames, frames)`` with rows that sum to one.
        """
        batch, frames, dims = x.shape
        head_dims = dims // self.heads
        query = self.query(x).reshape(batch, frames, self.heads, head_dims).transpose(1, 2)
        key = self.key(x).reshape(batch, frames, self.heads, head_dims).transpose(1, 2)
        value = self.value(x).reshape(batch, frames, self.heads, head_dims).transpose(1, 2)
        series = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(head_dims), dim=-1)
        # As in the authors' program, sigma = 3^s - 1 with s in (0, 1]: up to two frames.
        exponent = torch.sigmoid(5.0 * self.width(x)) + 1e-5  # (batch, frames, heads)
        prior = gaussian_prior((torch.pow(3.0, exponent) - 1.0).transpose(1, 2))
        attended = (series @ value).transpose(1, 2).reshape(batch, frames, dims)
        return self.out(attended), series, prior
