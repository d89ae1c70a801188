"""Front ends: spectrograms and masks as modules that can be scripted into a model file."""

import itertools
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asd_monitor.features import squared_magnitude
from asd_offline.datasets.audio_files import NEAR_AND_FAR
from asd_offline.features.mel import MelScaleName, mel_filters

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
    mel_scale: MelScaleName = "slaney"
    norm: Literal["slaney"] | None = "slaney"
    """``slaney``: triangles of equal area, librosa's default; None: of equal height."""
    floor: float = EPSILON
    """Smallest value before the logarithm."""


class Spectrum(nn.Module):
    """Spectrum under a Hann window: ``(batch, samples)`` to complex ``(batch, bins, frames)``."""

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the spectrum of centred frames, the ends reflected."""
        return torch.stft(
            waveform, self.n_fft, self.hop_length, window=self.window, return_complex=True
        )


class LogMel(nn.Module):
    """Mel spectrogram in decibels: ``(batch, samples)`` to ``(batch, frames, n_mels)``.

    ``20 / power * log10(max(mel, floor))``. Frames are centred and the ends reflected, so ``n``
    samples give ``n // hop_length + 1`` frames.
    """

    filters: Tensor

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or LogMelSettings()
        self.sample_rate_hz = settings.sample_rate_hz
        self.dims = settings.n_mels
        self.magnitude = settings.power == 1.0
        self.spectrum = Spectrum(settings.n_fft, settings.hop_length)
        filters = mel_filters(
            settings.n_fft // 2 + 1,
            settings.n_mels,
            settings.sample_rate_hz,
            f_min_hz=settings.f_min_hz,
            f_max_hz=settings.f_max_hz,
            scale=settings.mel_scale,
            norm=settings.norm,
        )
        self.register_buffer("filters", filters)
        self.groups = band_groups(filters)
        self.factor = 20.0 / settings.power
        self.floor = settings.floor

    def forward(self, waveform: Tensor) -> Tensor:
        """Return decibels ``(batch, frames, n_mels)`` of ``(batch, samples)``."""
        spectrogram = squared_magnitude(self.spectrum(waveform)).transpose(1, 2)
        if self.magnitude:
            spectrogram = spectrogram.sqrt()
        bands: list[Tensor] = []
        for low, high, first, end in self.groups:
            filters = self.filters[low:high, first:end]
            bands.append(torch.matmul(spectrogram[:, :, low:high], filters))
        return self.factor * torch.log10(torch.cat(bands, dim=2).clamp_min(self.floor))

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


class NearAndFar(nn.Module):
    """Samples of both channels as feature rows: ``(batch, 2, samples)`` to ``(batch, samples, 2)``.

    Column 0 is the microphone near the machine, column 1 the one away from it. Both begin at the
    same sample, so that windows of the two are of the same time.
    """

    def __init__(self, sample_rate_hz: int = 16000) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.channels = NEAR_AND_FAR
        self.dims = len(NEAR_AND_FAR)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, samples, 2)``."""
        return waveform.transpose(1, 2)

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result."""
        return {
            "front_end": "near_and_far",
            "sample_rate_hz": self.sample_rate_hz,
            "channels": list(self.channels),
        }


class Masking(nn.Module):
    """SpecAugment's masks in training mode (Park et al., Interspeech 2019).

    One band of up to ``mel_bins`` and one span of up to ``frames`` of each spectrogram
    ``(batch, frames, bins)`` are set to 0. In evaluation mode nothing changes.
    """

    def __init__(self, mel_bins: int, frames: int) -> None:
        super().__init__()
        self.mel_bins, self.frames = mel_bins, frames

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames, bins)``."""
        if not self.training:
            return spectrogram
        masked = spectrogram.masked_fill(random_span(spectrogram, 2, self.mel_bins)[:, None], 0.0)
        return masked.masked_fill(random_span(spectrogram, 1, self.frames)[:, :, None], 0.0)


def random_span(spectrogram: Tensor, axis: int, longest: int) -> Tensor:
    """Return ``(batch, length of axis)``, true in one random span of up to ``longest`` each."""
    batch, length = spectrogram.shape[0], spectrogram.shape[axis]
    spans = torch.rand(batch, device=spectrogram.device) * longest
    starts = torch.rand(batch, device=spectrogram.device) * (length - spans)
    first = starts.long()[:, None]
    position = torch.arange(length, device=spectrogram.device)
    return (position >= first) & (position < first + spans.long()[:, None])
