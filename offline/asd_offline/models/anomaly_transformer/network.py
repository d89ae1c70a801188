"""The Anomaly Transformer and its minimax loss."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.anomaly_transformer.attention import AnomalyAttention, divergence
from asd_offline.models.anomaly_transformer.recipe import AnomalyTransformerRecipe


class EncoderLayer(nn.Module):
    """Anomaly attention and a feed-forward layer with shortcuts and post-norms (equation 1)."""

    def __init__(self, dims: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = AnomalyAttention(dims, heads)
        self.widen = nn.Conv1d(dims, hidden, 1)
        self.narrow = nn.Conv1d(hidden, dims, 1)
        self.norm1 = nn.LayerNorm(dims)
        self.norm2 = nn.LayerNorm(dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(batch, frames, dims)``, series association and prior association."""
        attended, series, prior = self.attention(x)
        x = self.norm1(x + attended)
        hidden = F.gelu(self.widen(x.transpose(1, 2)))  # (batch, hidden, frames)
        x = self.norm2(x + self.narrow(hidden).transpose(1, 2))
        return x, series, prior


class AnomalyTransformer(nn.Module):
    """Frames to reconstructed frames, and the associations of every layer.

    Parameters
    ----------
    channels
        Values of a frame.
    dims, heads, layers, hidden
        Width, heads per layer, number of layers, and width of the feed-forward layers.
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
        """Reconstruct frames.

        Parameters
        ----------
        x
            ``(batch, frames, channels)``, at least 2 frames.

        Returns
        -------
        tuple
            Reconstruction ``(batch, frames, channels)``; series associations and prior
            associations of the layers, ``(batch, heads, frames, frames)`` each.
        """
        embedded = self.embedding(x.transpose(1, 2)).transpose(1, 2)  # (batch, frames, dims)
        frames, dims = embedded.shape[1], embedded.shape[2]
        hidden = embedded + position_code(frames, dims, embedded)
        series: list[Tensor] = []
        prior: list[Tensor] = []
        for layer in self.layers:
            hidden, layer_series, layer_prior = layer(hidden)
            series.append(layer_series)
            prior.append(layer_prior)
        return self.projection(self.norm(hidden)), series, prior


def position_code(frames: int, dims: int, like: Tensor) -> Tensor:
    """Return the sinusoidal position code ``(frames, dims)``; ``dims`` is even.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.
    """
    position = torch.arange(frames, device=like.device, dtype=like.dtype).unsqueeze(1)
    dim = torch.arange(0, dims, 2, device=like.device, dtype=like.dtype)
    angle = position * torch.exp(dim * (-math.log(10000.0) / dims))
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


def discrepancy(series: Tensor, prior: Tensor) -> Tensor:
    """Compute the symmetric divergence ``(batch, frames)`` of two associations (equation 3)."""
    return divergence(series, prior) + divergence(prior, series)


class MinimaxLoss(nn.Module):
    """The network with its training loss.

    The paper alternates between two losses (equation 5): the minimise phase moves the prior
    towards the series with the series held fixed, the maximise phase moves the series away from
    the prior with the prior held fixed. The authors' program runs a backward pass for each, and one
    optimiser step for both. Gradients add up, so one backward pass through the sum is equivalent.

    Parameters
    ----------
    recipe
        Sizes of the network and weight of the associations.
    mean, spread
        ``(n_mels,)``: mean and standard deviation of each band, in dB.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: AnomalyTransformerRecipe, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.associations = AnomalyTransformer(
            recipe.n_mels, recipe.dims, recipe.heads, recipe.layers, recipe.hidden
        )
        self.weight = recipe.association_weight
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, frames: Tensor) -> Tensor:
        """Compute the loss, a scalar, of decibels ``(batch, frames, n_mels)``."""
        maximise, minimise = self.losses(frames)
        return maximise + minimise

    def losses(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the losses of the maximise phase (series) and the minimise phase (prior)."""
        standardised = (frames - self.mean) / self.spread
        reconstruction, series, prior = self.associations(standardised)
        with torch.autocast(frames.device.type, enabled=False):
            error = F.mse_loss(reconstruction.float(), standardised)
            series_discrepancy = torch.zeros_like(error)
            prior_discrepancy = torch.zeros_like(error)
            for layer_series, layer_prior in zip(series, prior, strict=True):
                s, p = layer_series.float(), layer_prior.float()
                series_discrepancy = series_discrepancy + discrepancy(s, p.detach()).mean()
                prior_discrepancy = prior_discrepancy + discrepancy(s.detach(), p).mean()
            weight = self.weight / len(series)
            return error - weight * series_discrepancy, error + weight * prior_discrepancy
