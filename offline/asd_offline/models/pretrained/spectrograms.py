"""The spectrograms that published audio transformers expect, as modules that script.

Each maps 16 kHz sound ``(batch, samples)`` in [-1, 1] to ``(batch, frames, bands)``.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio import transforms
from torchaudio.compliance import kaldi

SAMPLE_RATE_HZ = 16000
FRAME = 400  # 25 ms
FRAME_HOP = 160  # 10 ms
N_FFT = 512
PATCH = 16
"""Frames, and bands, of a patch."""
FLOOR = torch.finfo(torch.float32).eps
"""Kaldi's, of the mel power."""


class KaldiFbank(nn.Module):
    """Log mel energies as Kaldi computes them: what ``torchaudio.compliance.kaldi.fbank`` gives.

    Frames of 25 ms every 10 ms, those that fit; of each the mean is taken off, then pre-emphasis
    (0.97), window, power spectrum of 512, triangles from 20 Hz to 8 kHz, natural logarithm.

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
        shape = torch.hann_window(FRAME, periodic=False)
        self.register_buffer("window", shape.pow(0.85) if window == "povey" else shape)
        triangles, _ = kaldi.get_mel_banks(bands, N_FFT, SAMPLE_RATE_HZ, 20.0, 0.0, 0.0, 0.0, 1.0)
        # Kaldi's triangles leave out the last bin.
        self.register_buffer("filters", F.pad(triangles, (0, 1)).t().contiguous())
        self.frame, self.hop, self.n_fft, self.floor = FRAME, FRAME_HOP, N_FFT, FLOOR

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, bands)``, natural logarithm of power."""
        frames = waveform.unfold(1, self.frame, self.hop)
        frames = frames - frames.mean(2, keepdim=True)
        before = torch.cat([frames[:, :, :1], frames[:, :, :-1]], dim=2)
        windowed = (frames - 0.97 * before) * self.window
        power = torch.fft.rfft(windowed, n=self.n_fft).abs().pow(2.0)
        return torch.matmul(power, self.filters).clamp_min(self.floor).log()


class BeatsSpectrogram(nn.Module):
    """Kaldi's energies of 16-bit samples, centred and scaled by BEATs' constants."""

    def __init__(self) -> None:
        super().__init__()
        self.fbank = KaldiFbank(128, "povey")
        self.mean, self.std = 15.41663, 6.55582

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 128)``."""
        energies: Tensor = self.fbank(waveform * 32768.0)
        return (energies - self.mean) / (2.0 * self.std)


class EatSpectrogram(nn.Module):
    """Kaldi's energies of centred sound, scaled by EAT's constants, in whole patches.

    Frames of energy 0 are put at the end until their number is a multiple of 16.
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
    """64 mel bands in decibels, at most 120 dB below the window's loudest; frames are centred."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = transforms.MelSpectrogram(
            SAMPLE_RATE_HZ, n_fft=N_FFT, hop_length=FRAME_HOP, n_mels=64, f_max=8000.0
        )
        self.range_db = 120.0

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 64)``."""
        mel: Tensor = self.mel(waveform)
        decibels = 10.0 * torch.log10(mel.clamp_min(1e-10))
        least = decibels.amax((1, 2), keepdim=True) - self.range_db
        return torch.maximum(decibels, least).transpose(1, 2)
