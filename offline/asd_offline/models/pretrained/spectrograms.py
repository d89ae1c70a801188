"""The spectrograms that published audio transformers expect, as scriptable modules.

Each maps 16 kHz sound ``(batch, samples)`` in [-1, 1] to ``(batch, frames, bands)``.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio import transforms
from torchaudio.compliance import kaldi

SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES = 400  # 25 ms
FRAME_HOP_SAMPLES = 160  # 10 ms
N_FFT = 512
PATCH = 16
"""Frames, and mel bands, of a patch."""
MIN_MEL_POWER = torch.finfo(torch.float32).eps
"""Kaldi's floor before the logarithm."""
PRE_EMPHASIS = 0.97


class KaldiFbank(nn.Module):
    """Log mel energies as Kaldi computes them; equal to ``torchaudio.compliance.kaldi.fbank``.

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
        filters, _ = kaldi.get_mel_banks(bands, N_FFT, SAMPLE_RATE_HZ, 20.0, 0.0, 0.0, 0.0, 1.0)
        # Kaldi's filters do not cover the last bin.
        self.register_buffer("filters", F.pad(filters, (0, 1)).t().contiguous())
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

    def __init__(self) -> None:
        super().__init__()
        self.mel = transforms.MelSpectrogram(
            SAMPLE_RATE_HZ, n_fft=N_FFT, hop_length=FRAME_HOP_SAMPLES, n_mels=64, f_max=8000.0
        )
        self.top_db = 120.0

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 64)``."""
        mel: Tensor = self.mel(waveform)  # (batch, bands, frames)
        decibels = 10.0 * torch.log10(mel.clamp_min(1e-10))
        floor = decibels.amax((1, 2), keepdim=True) - self.top_db
        return torch.maximum(decibels, floor).transpose(1, 2)
