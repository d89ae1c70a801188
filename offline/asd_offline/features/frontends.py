"""Front ends: torchaudio's transforms as modules that can be scripted into a model file.

A scripted module contains its code, so the model file loads without torchaudio.
"""

import itertools
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchaudio import transforms

from asd_monitor.features import squared_magnitude

BAND_GROUPS = 4
EPSILON = sys.float_info.epsilon
"""Floor of the mel power in the official baselines (2.2e-16)."""


@dataclass(frozen=True, slots=True)
class LogMelSettings:
    """Settings of a log-mel spectrogram, by default those of the baselines of 2020 to 2023."""

    sample_rate_hz: int = 16000
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128
    power: float = 2.0
    """2: power spectrogram; 1: magnitude. The result is in decibels either way."""
    f_min_hz: float = 0.0
    f_max_hz: float | None = None
    """None: half the sample rate."""
    mel_scale: Literal["htk", "slaney"] = "slaney"
    norm: Literal["slaney"] | None = "slaney"
    """``slaney``: triangles of equal area, librosa's default; None: of equal height."""
    floor: float = EPSILON
    """Smallest value before the logarithm."""


class LogMel(nn.Module):
    """Mel spectrogram in decibels: ``(batch, samples)`` to ``(batch, frames, n_mels)``.

    ``20 / power * log10(max(mel, floor))``. Frames are centred and the ends reflected, so ``n``
    samples give ``n // hop_length + 1`` frames.
    """

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or LogMelSettings()
        self.sample_rate_hz = settings.sample_rate_hz
        self.dims = settings.n_mels
        self.magnitude = settings.power == 1.0
        self.spectrogram = transforms.Spectrogram(
            settings.n_fft, hop_length=settings.hop_length, power=None
        )
        self.mel = transforms.MelScale(
            settings.n_mels,
            settings.sample_rate_hz,
            settings.f_min_hz,
            settings.f_max_hz,
            settings.n_fft // 2 + 1,
            norm=settings.norm,
            mel_scale=settings.mel_scale,
        )
        self.groups = band_groups(self.mel.fb)
        stype = "power" if settings.power == 2.0 else "magnitude"
        self.decibels = transforms.AmplitudeToDB(stype)
        self.decibels.amin = settings.floor  # its default, 1e-10, is audible in quiet recordings

    def forward(self, waveform: Tensor) -> Tensor:
        """Return decibels ``(batch, frames, n_mels)`` of ``(batch, samples)``."""
        spectrogram = squared_magnitude(self.spectrogram(waveform)).transpose(1, 2)
        if self.magnitude:
            spectrogram = spectrogram.sqrt()
        bands: list[Tensor] = []
        for low, high, first, end in self.groups:
            filters = self.mel.fb[low:high, first:end]
            bands.append(torch.matmul(spectrogram[:, :, low:high], filters))
        decibels: Tensor = self.decibels(torch.cat(bands, dim=2))
        return decibels

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result, for caches and manifests."""
        return {"front_end": "log_mel", **asdict(self.settings)}


def band_groups(filters: Tensor) -> list[tuple[int, int, int, int]]:
    """Divide mel filters ``(bins, bands)`` into groups that use different ranges of bins.

    Multiplied group by group, most of the zeros are left out, which takes less than half the time.

    Returns
    -------
    list
        First bin, end of bins, first band and end of bands of each group.
    """
    bands = filters.shape[1]
    edges = sorted({group * bands // BAND_GROUPS for group in range(BAND_GROUPS + 1)})
    groups = []
    for first, end in itertools.pairwise(edges):
        used = torch.nonzero(filters[:, first:end].sum(1)).flatten().tolist() or [0]
        groups.append((used[0], used[-1] + 1, first, end))
    return groups


class Waveform(nn.Module):
    """Samples as feature rows: ``(batch, samples)`` to ``(batch, samples, 1)``."""

    def __init__(self, sample_rate_hz: int = 16000) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.dims = 1

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, samples, 1)``."""
        return waveform.unsqueeze(2)

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result."""
        return {"front_end": "waveform", "sample_rate_hz": self.sample_rate_hz}


class Masking(nn.Module):
    """SpecAugment's masks in training mode (Park et al., Interspeech 2019).

    One band of up to ``mel_bins`` and one span of up to ``frames`` of each spectrogram
    ``(batch, frames, bins)`` are set to 0. In evaluation mode nothing changes.
    """

    def __init__(self, mel_bins: int, frames: int) -> None:
        super().__init__()
        self.band = transforms.FrequencyMasking(mel_bins, iid_masks=True)
        self.span = transforms.TimeMasking(frames, iid_masks=True)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames, bins)``."""
        if not self.training:
            return spectrogram
        image = spectrogram.transpose(1, 2).unsqueeze(1)  # (batch, 1, bins, frames)
        masked: Tensor = self.span(self.band(image))
        return masked.squeeze(1).transpose(1, 2)


class Resampling(nn.Module):
    """Resample ``(batch, samples)`` from the model's rate to that of a pretrained network."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        super().__init__()
        self.resample = transforms.Resample(from_hz, to_hz)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, ceil(samples * to_hz / from_hz))``."""
        resampled: Tensor = self.resample(waveform)
        return resampled
