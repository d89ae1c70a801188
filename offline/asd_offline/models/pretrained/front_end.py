"""The front end of a published audio transformer: from sound to a vector for each patch."""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from asd_offline.features.resampling import Resampling
from asd_offline.models.pretrained.architectures import ARCHITECTURES
from asd_offline.models.pretrained.spectrograms import (
    SAMPLE_RATE_HZ,
    BeatsSpectrogram,
    CedSpectrogram,
    EatSpectrogram,
)

TORCHSCRIPT = "torchscript"
"""Architecture of the user's own encoders, which need no spectrogram."""
SPECTROGRAMS: Mapping[str, type[nn.Module]] = {
    "beats": BeatsSpectrogram,
    "ced": CedSpectrogram,
    "dasheng": CedSpectrogram,
    "eat": EatSpectrogram,
    TORCHSCRIPT: nn.Identity,
}


class Transformer(Protocol):
    """Attributes that the transformers have in common."""

    band_patches: int
    """Patches along the frequency axis."""
    dims: int
    """Length of a patch's vector."""
    max_frames: int
    """Spectrogram frames that there are positions for; 0: any number."""


class PretrainedFrontEnd(nn.Module):
    """Sound to a vector for each patch of its spectrogram.

    Parameters
    ----------
    architecture
        A name in :data:`~asd_offline.models.pretrained.architectures.ARCHITECTURES`, or
        :data:`TORCHSCRIPT`.
    transformer
        ``(batch, frames, bands)`` to ``(batch, time patches, band patches, dims)``; see
        :class:`Transformer`. With :data:`TORCHSCRIPT` it receives ``(batch, samples)``.
    sample_rate_hz
        Sample rate of the sound; converted to ``encoder_rate_hz`` if it differs.
    encoder_rate_hz
        Sample rate that the encoder expects.
    """

    def __init__(
        self,
        architecture: str,
        transformer: nn.Module,
        sample_rate_hz: int,
        encoder_rate_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        super().__init__()
        needs_resampling = sample_rate_hz != encoder_rate_hz
        self.resample = (
            Resampling(sample_rate_hz, encoder_rate_hz) if needs_resampling else nn.Identity()
        )
        self.spectrogram = SPECTROGRAMS[architecture]()
        self.transformer = transformer
        self.architecture = architecture
        self.sample_rate_hz = sample_rate_hz

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, time patches, band patches, dims)`` of ``(batch, samples)``."""
        patches: Tensor = self.transformer(self.spectrogram(self.resample(waveform)))
        return patches

    @torch.jit.unused
    def window_limits_s(self) -> tuple[float, float]:
        """Return the minimum and maximum window length; 0 and infinity if they are unknown."""
        if self.architecture == TORCHSCRIPT:
            return 0.0, float("inf")
        architecture = ARCHITECTURES[self.architecture]
        min_s = architecture.min_samples(1) / SAMPLE_RATE_HZ
        max_patches = _attributes(self.transformer).max_frames // architecture.patch_frames
        if not max_patches:
            return min_s, float("inf")
        return min_s, (architecture.min_samples(max_patches + 1) - 1) / SAMPLE_RATE_HZ

    @torch.jit.unused
    def band_centres_hz(self) -> list[float]:
        """Return the centre frequency of each band of patches, ascending; empty if unknown."""
        if self.architecture == TORCHSCRIPT:
            return []
        architecture = ARCHITECTURES[self.architecture]
        # Mel frequency without its constant factor: mel = 1127 ln(1 + f / 700).
        min_mel, max_mel = (
            math.log1p(hz / 700.0) for hz in (architecture.min_hz, architecture.max_hz)
        )
        step = (max_mel - min_mel) / (architecture.mel_bands + 1)
        size = architecture.patch_bands
        centres = [
            min_mel + step * (size * band + 0.5 * (size + 1)) for band in range(self.band_patches)
        ]
        return [round(700.0 * math.expm1(centre), 1) for centre in centres]

    @property
    @torch.jit.unused
    def patch_hop_s(self) -> float | None:
        """Seconds from one patch to the next; None if unknown."""
        known = ARCHITECTURES.get(self.architecture)
        return None if known is None else known.patch_hop_s

    @property
    @torch.jit.unused
    def band_patches(self) -> int:
        """Patches along the frequency axis."""
        return _attributes(self.transformer).band_patches

    @property
    @torch.jit.unused
    def dims(self) -> int:
        """Length of a patch's vector."""
        return _attributes(self.transformer).dims


def _attributes(transformer: nn.Module) -> Transformer:
    return transformer  # type: ignore[return-value] # a module with the protocol's attributes
