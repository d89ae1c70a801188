"""Anomaly attention: what attention a frame gives, and what it would give if only nearness counted.

Xu et al., "Anomaly Transformer: Time series anomaly detection with association discrepancy",
ICLR 2022. What is anomalous finds its like only nearby, so its attention lies close to the prior.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-4
"""As published."""


def gaussian_prior(width: Tensor) -> Tensor:
    """Return ``(..., frames, frames)``: for each frame a Gaussian about it, its rows sum to one.

    Parameters
    ----------
    width
        ``(..., frames)`` standard deviations in frames, above 0. Any number of frames.
    """
    frames = width.shape[-1]
    places = torch.arange(frames, device=width.device, dtype=width.dtype)
    apart = (places.unsqueeze(0) - places.unsqueeze(1)).square()
    # The factor of the density cancels in the rows' sums; a softmax is safe for narrow widths.
    return torch.softmax(-apart / (2.0 * width.unsqueeze(-1).square()), dim=-1)


def divergence(p: Tensor, q: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Return the Kullback-Leibler divergence ``(batch, frames)``, the mean over heads.

    Parameters
    ----------
    p, q
        ``(batch, heads, frames, frames)``, rows sum to one.
    epsilon
        Keeps the logarithms finite.
    """
    return (p * ((p + epsilon).log() - (q + epsilon).log())).sum(-1).mean(1)


class AnomalyAttention(nn.Module):
    """Self-attention that also returns its associations."""

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
        """Return the mixed values, and what they were mixed by.

        Parameters
        ----------
        x
            ``(batch, frames, dims)``.

        Returns
        -------
        tuple
            Values ``(batch, frames, dims)``; series association and prior association
            ``(batch, heads, frames, frames)``, equations 2 and 3.
        """
        batch, frames, dims = x.shape
        each = dims // self.heads
        query = self.query(x).reshape(batch, frames, self.heads, each).transpose(1, 2)
        key = self.key(x).reshape(batch, frames, self.heads, each).transpose(1, 2)
        value = self.value(x).reshape(batch, frames, self.heads, each).transpose(1, 2)
        series = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(each), dim=-1)
        steepness = torch.sigmoid(5.0 * self.width(x)) + 1e-5
        prior = gaussian_prior((torch.pow(3.0, steepness) - 1.0).transpose(1, 2))
        mixed = (series @ value).transpose(1, 2).reshape(batch, frames, dims)
        return self.out(mixed), series, prior


class EncoderLayer(nn.Module):
    """Anomaly attention and a feed-forward layer, each with a shortcut and normalised after it."""

    def __init__(self, dims: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = AnomalyAttention(dims, heads)
        self.widen = nn.Conv1d(dims, hidden, 1)
        self.narrow = nn.Conv1d(hidden, dims, 1)
        self.norm1 = nn.LayerNorm(dims)
        self.norm2 = nn.LayerNorm(dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(batch, frames, dims)`` and both associations."""
        mixed, series, prior = self.attention(x)
        x = self.norm1(x + mixed)
        inner = self.narrow(F.gelu(self.widen(x.transpose(1, 2)))).transpose(1, 2)
        return self.norm2(x + inner), series, prior


class Associations(nn.Module):
    """The network: frames to rebuilt frames, and the associations of every layer.

    Parameters
    ----------
    channels
        Values of a frame.
    dims, heads, layers, hidden
        Width, heads per layer, layers, and width of the feed-forward layers.
    """

    def __init__(
        self, channels: int, dims: int = 512, heads: int = 8, layers: int = 3, hidden: int = 512
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv1d(
            channels, dims, 3, padding=1, padding_mode="circular", bias=False
        )
        nn.init.kaiming_normal_(self.embedding.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.layers = nn.ModuleList([EncoderLayer(dims, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(dims)
        self.projection = nn.Linear(dims, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the rebuilt frames, and series and prior associations layer by layer.

        Parameters
        ----------
        x
            ``(batch, frames, channels)``; at least 2 frames, and as many as one likes.
        """
        inner = self.embedding(x.transpose(1, 2)).transpose(1, 2)
        inner = inner + positions(inner.shape[1], inner.shape[2], inner)
        series: list[Tensor] = []
        prior: list[Tensor] = []
        for layer in self.layers:
            inner, own_series, own_prior = layer(inner)
            series.append(own_series)
            prior.append(own_prior)
        return self.projection(self.norm(inner)), series, prior


def positions(frames: int, dims: int, like: Tensor) -> Tensor:
    """Return the sinusoidal position code ``(frames, dims)``; ``dims`` is even."""
    place = torch.arange(frames, device=like.device, dtype=like.dtype).unsqueeze(1)
    pair = torch.arange(0, dims, 2, device=like.device, dtype=like.dtype)
    angle = place * torch.exp(pair * (-math.log(10000.0) / dims))
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
