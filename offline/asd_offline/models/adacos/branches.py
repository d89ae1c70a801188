"""Branches of the discriminative networks: waveform to an embedding, by spectrum and spectrogram.

After Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
generalization in anomalous sound detection", ICASSP 2023, sections 2.2 and 2.3. No layer has a
bias and no normalisation a free offset: a bias would let the network answer the same for every
sound, which a compactness loss rewards.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.features import squared_magnitude

REDUCTION, LEAST_SQUEEZED = 16, 4  # 16 channels over 16 would be one unit, which may lie dead
SPECTRUM_CHANNELS = 128
SPECTRUM_LAYERS = ((256, 64), (64, 32), (16, 4))  # kernel, stride
STAGE_CHANNELS = (16, 32, 64, 128)


class SqueezeExcitation(nn.Module):
    """Weigh channels by what the whole input holds (Hu et al., CVPR 2018, equations 2 to 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(LEAST_SQUEEZED, channels // REDUCTION)
        self.squeeze = nn.Linear(channels, squeezed, bias=False)
        self.excite = nn.Linear(squeezed, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ...)`` of the same."""
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(x.flatten(2).mean(2)))))
        return (x.flatten(2) * weight.unsqueeze(2)).view(x.shape)


class SamePadConv1d(nn.Module):
    """Convolution and ReLU; ``ceil(n / stride)`` values come of ``n``."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.conv = nn.Conv1d(channels_in, channels, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(n / stride))`` of ``(batch, channels_in, n)``."""
        n = x.shape[2]
        missing = max(0, ((n + self.stride - 1) // self.stride - 1) * self.stride + self.kernel - n)
        padded = F.pad(x, [missing // 2, missing - missing // 2])
        return F.relu(self.conv(padded))


class SpectrumBranch(nn.Module):
    """The magnitude spectrum of the whole window: tones, told apart finely.

    Parameters
    ----------
    window_samples
        Length of the waveform; the spectrum has half as many bins.
    dims
        Length of the embedding.
    """

    def __init__(self, window_samples: int, dims: int = 128) -> None:
        super().__init__()
        self.bins = window_samples // 2
        convolutions: list[nn.Module] = []
        channels_in, length = 1, self.bins
        for kernel, stride in SPECTRUM_LAYERS:
            convolutions.append(SamePadConv1d(channels_in, SPECTRUM_CHANNELS, kernel, stride))
            convolutions.append(SqueezeExcitation(SPECTRUM_CHANNELS))
            channels_in, length = SPECTRUM_CHANNELS, -(-length // stride)
        self.convolutions = nn.Sequential(*convolutions)
        dense: list[nn.Module] = []
        sizes = (SPECTRUM_CHANNELS * length, *[SPECTRUM_CHANNELS] * 4)
        for size, following in pairwise(sizes):
            dense.append(nn.Linear(size, following, bias=False))
            dense += [nn.BatchNorm1d(following, affine=False), nn.ReLU()]
        self.dense = nn.Sequential(*dense, nn.Linear(SPECTRUM_CHANNELS, dims, bias=False))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of ``(batch, window_samples)``."""
        # Scaled so that noise has the same size in windows of every length.
        spectrum = torch.fft.rfft(waveform, norm="ortho")[:, : self.bins]
        magnitude = squared_magnitude(spectrum).sqrt()
        embedding: Tensor = self.dense(self.convolutions(magnitude.unsqueeze(1)).flatten(1))
        return embedding


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions after normalisation, beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(channels_in, affine=False),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            SqueezeExcitation(channels),
        )
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.MaxPool2d(stride, stride, ceil_mode=True))
        if channels_in != channels:
            shortcut.append(nn.Conv2d(channels_in, channels, 1, bias=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(height / stride), ceil(width / stride))``."""
        residual: Tensor = self.residual(x)
        beside: Tensor = self.shortcut(x)
        return residual + beside


class MagnitudeSpectrogram(nn.Module):
    """Linear magnitude STFT: ``(batch, samples)`` to ``(batch, bins, frames)``."""

    taper: Tensor

    def __init__(self, n_fft: int, hop_samples: int, subtract_mean: bool) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.subtract_mean = subtract_mean
        self.register_buffer("taper", torch.hann_window(n_fft))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return magnitudes; without each bin's mean over time where that was asked for."""
        frames = waveform.unfold(1, self.n_fft, self.hop_samples) * self.taper
        magnitude = squared_magnitude(torch.fft.rfft(frames)).sqrt().transpose(1, 2)
        if self.subtract_mean:
            magnitude = magnitude - magnitude.mean(2, keepdim=True)
        return magnitude


class SpectrogramBranch(nn.Module):
    """A small residual network on the magnitude spectrogram: what changes over time.

    Parameters
    ----------
    n_fft, hop_samples
        Of the STFT; frames lie wholly inside the window.
    subtract_mean
        Take each bin's mean over time off: stationary background, level and equalisation go.
    dims
        Length of the embedding.
    pool_padding
        0 or 1, of the pooling after the first convolution.
    """

    def __init__(
        self,
        n_fft: int = 1024,
        hop_samples: int = 512,
        *,
        subtract_mean: bool = True,
        dims: int = 128,
        pool_padding: int = 1,
    ) -> None:
        super().__init__()
        self.spectrogram = MagnitudeSpectrogram(n_fft, hop_samples, subtract_mean)
        bins = n_fft // 2 + 1
        self.by_frequency = nn.BatchNorm1d(bins, affine=False)
        layers: list[nn.Module] = [
            nn.Conv2d(1, STAGE_CHANNELS[0], 7, 2, 3, bias=False),
            nn.BatchNorm2d(STAGE_CHANNELS[0], affine=False),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, pool_padding),
        ]
        bins = ((bins + 1) // 2 + 2 * pool_padding - 3) // 2 + 1
        channels_in = STAGE_CHANNELS[0]
        for stage, channels in enumerate(STAGE_CHANNELS):
            stride = 1 if stage == 0 else 2
            layers.append(ResidualBlock(channels_in, channels, stride))
            layers.append(ResidualBlock(channels, channels, 1))
            channels_in, bins = channels, -(-bins // stride)
        self.layers = nn.Sequential(*layers)
        # A third less time to train on a CPU; the numbers are the same.
        self.layers.to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm1d(channels_in * bins, affine=False)
        self.linear = nn.Linear(channels_in * bins, dims, bias=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of ``(batch, samples)``."""
        spectrogram = self.by_frequency(self.spectrogram(waveform))
        maps: Tensor = self.layers(spectrogram.unsqueeze(1))
        loudest = maps.amax(3).flatten(1)  # over time; frequencies stay apart
        embedding: Tensor = self.linear(self.norm(loudest))
        return embedding


class Branches(nn.Module):
    """Several branches on the same waveform.

    Parameters
    ----------
    branches
        Each ``(batch, samples)`` to ``(batch, dims)``.
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return the embedding ``(batch, dims)`` of every branch."""
        embeddings: list[Tensor] = []
        for branch in self.branches:
            embeddings.append(branch(waveform))
        return embeddings
