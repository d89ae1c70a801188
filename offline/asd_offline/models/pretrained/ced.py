"""CED: a plain vision transformer on 64 mel bands, with 5.5 to 86 million weights.

Dinkel et al., "CED: Consistent ensemble distillation for audio tagging", ICASSP 2024
(arXiv 2308.11957). Tensor names are those of the published files without ``encoder.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.spectrograms import PATCH
from asd_offline.models.pretrained.vit import HEAD_DIMS, NORM_EPSILON, Block, PatchEmbedding


@dataclass(frozen=True, slots=True)
class CedSettings:
    """Sizes of a CED; the defaults are those of the published ``base``."""

    dims: int = 768
    layers: int = 12
    hidden: int = 3072
    mel_bands: int = 64
    time_positions: int = 63

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return self.dims // HEAD_DIMS

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "CedSettings":
        """Infer the sizes from a checkpoint's tensors; KeyError where one is missing."""
        return cls(
            dims=tensors["patch_embed.proj.weight"].shape[0],
            layers=sum(name.endswith("attn.qkv.weight") for name in tensors),
            hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
            mel_bands=tensors["init_bn.weight"].shape[0],
            time_positions=tensors["time_pos_embed"].shape[3],
        )


class CedTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 64)`` to a vector for each patch."""

    def __init__(self, settings: CedSettings | None = None) -> None:
        super().__init__()
        settings = settings or CedSettings()
        dims = settings.dims
        self.dims = dims
        self.band_patches = settings.mel_bands // PATCH
        self.max_frames: int = settings.time_positions * PATCH
        self.init_bn = nn.BatchNorm2d(settings.mel_bands)
        self.patch_embed = PatchEmbedding(dims, PATCH)
        self.time_pos_embed = nn.Parameter(torch.zeros(1, dims, 1, settings.time_positions))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, dims, self.band_patches, 1))
        self.blocks = nn.Sequential(
            *[
                Block(dims, settings.heads, settings.hidden, "before")
                for _ in range(settings.layers)
            ]
        )
        self.norm = nn.LayerNorm(dims, eps=NORM_EPSILON)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, 4, dims)``."""
        image = spectrogram.transpose(1, 2)  # (batch, mel bands, frames)
        image = self.init_bn(image.unsqueeze(2)).squeeze(2)
        patches: Tensor = self.patch_embed(image)  # (batch, dims, band patches, time patches)
        batch, dims, band_patches, time_patches = patches.shape
        patches = patches + self.time_pos_embed[:, :, :, :time_patches] + self.freq_pos_embed
        tokens: Tensor = self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))
        return tokens.reshape(batch, band_patches, time_patches, dims).transpose(1, 2)
