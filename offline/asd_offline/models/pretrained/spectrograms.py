"""The spectrograms that published audio transformers expect, as scriptable modules.

Each maps 16 kHz sound ``(batch, samples)`` in [-1, 1] to ``(batch, frames, bands)``.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.features.frontends import Spectrum
from asd_offline.features.mel import mel_filters

SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES = 400  # 25 ms
FRAME_HOP_SAMPLES = 160  # 10 ms
N_FFT = 512
PATCH = 16
"""Frames, and mel bands, of a patch."""
MIN_MEL_POWER = torch.finfo(torch.float32).eps
"""Kaldi's floor before the logarithm."""
PRE_EMPHASIS = 0.97
MIN_HZ = 20.0
"""Lower edge of Kaldi's lowest filter."""


class KaldiFbank(nn.Module):
    """Log mel energies as Kaldi computes them.

    Frames of 25 ms every 10 ms, without padding; for each frame: subtract the mean, pre-emphasis,
    window, power spectrum of 512 points, triangular filters from 20 Hz to 8 kHz, natural
    logarithm.

    Parameters
    ----------
    bands
        Mel bands.
    window
        ``povey`` is the Hann window to the power of 0.85.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int = 128, window: Literal["povey", "hann"] = "povey") -> None:
        super().__init__()
        hann = torch.hann_window(FRAME_SAMPLES, periodic=False)
        self.register_buffer("window", hann.pow(0.85) if window == "povey" else hann)
        self.register_buffer("filters", kaldi_filters(bands))
        self.frame_samples, self.hop_samples = FRAME_SAMPLES, FRAME_HOP_SAMPLES
        self.n_fft, self.floor, self.pre_emphasis = N_FFT, MIN_MEL_POWER, PRE_EMPHASIS

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, bands)``, natural logarithm of power."""
        frames = waveform.unfold(1, self.frame_samples, self.hop_samples)
        frames = frames - frames.mean(2, keepdim=True)
        previous = torch.cat([frames[:, :, :1], frames[:, :, :-1]], dim=2)
        windowed = (frames - self.pre_emphasis * previous) * self.window
        power = torch.fft.rfft(windowed, n=self.n_fft).abs().pow(2.0)  # (batch, frames, bins)
        return torch.matmul(power, self.filters).clamp_min(self.floor).log()


def kaldi_filters(bands: int) -> Tensor:
    """Return Kaldi's filters ``(bins, bands)``: triangles over mel, ``1127 ln(1 + f / 700)``.

    They extend from 20 Hz to half the sample rate and do not cover the last bin.
    """
    hz = torch.linspace(0.0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    mel = 1127.0 * torch.log(1.0 + hz / 700.0)
    low, high = (1127.0 * math.log(1.0 + edge / 700.0) for edge in (MIN_HZ, SAMPLE_RATE_HZ / 2))
    edges = low + torch.arange(bands + 2) * ((high - low) / (bands + 1))
    offsets, widths = mel[:, None] - edges, edges.diff()  # (bins, bands + 2)
    filters = torch.minimum(offsets[:, :-2] / widths[:-1], -offsets[:, 2:] / widths[1:])
    filters[-1] = 0.0
    return filters.clamp_min(0.0)


class BeatsSpectrogram(nn.Module):
    """Kaldi's log energies of 16-bit samples, standardised by BEATs' constants."""

    def __init__(self) -> None:
        super().__init__()
        self.fbank = KaldiFbank(128, "povey")
        self.mean, self.std = 15.41663, 6.55582

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 128)``."""
        energies: Tensor = self.fbank(waveform * 32768.0)
        return (energies - self.mean) / (2.0 * self.std)


class EatSpectrogram(nn.Module):
    """Kaldi's log energies of zero-mean sound, standardised by EAT's constants.

    Frames of zeros are appended until the number of frames is a multiple of 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fbank = KaldiFbank(128, "hann")
        self.mean, self.std, self.patch = -4.268, 4.569, PATCH

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 128)``, ``frames`` a multiple of 16."""
        energies: Tensor = self.fbank(waveform - waveform.mean(1, keepdim=True))
        energies = F.pad(energies, (0, 0, 0, -energies.shape[1] % self.patch))
        return (energies - self.mean) / (2.0 * self.std)


class CedSpectrogram(nn.Module):
    """64 mel bands in decibels, clipped 120 dB below the window's maximum; frames are centred."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = Spectrum(N_FFT, FRAME_HOP_SAMPLES)
        self.register_buffer("filters", mel_filters(N_FFT // 2 + 1, 64, SAMPLE_RATE_HZ))
        self.top_db = 120.0

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 64)``."""
        power = self.spectrum(waveform).abs().pow(2.0).transpose(1, 2)  # (batch, frames, bins)
        decibels = 10.0 * torch.log10(torch.matmul(power, self.filters).clamp_min(1e-10))
        floor = decibels.amax((1, 2), keepdim=True) - self.top_db
        return torch.maximum(decibels, floor)
