"""CED: a plain vision transformer on 64 mel bands, of 5.5 to 86 million weights.

Dinkel et al., "CED: Consistent ensemble distillation for audio tagging", ICASSP 2024
(arXiv 2308.11957). Tensor names are those of the published files, less ``encoder.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.spectrograms import PATCH
from asd_offline.models.pretrained.vit import EPS, Block, PatchEmbedding

HEAD_DIMS = 64
"""Of every published size."""


@dataclass(frozen=True, slots=True)
class CedSettings:
    """Sizes of a CED; the defaults are those of the published ``base``."""

    dims: int = 768
    layers: int = 12
    hidden: int = 3072
    bands: int = 64
    time_positions: int = 63

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return self.dims // HEAD_DIMS

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "CedSettings":
        """Read the sizes off a checkpoint's tensors; KeyError where one is missing."""
        return cls(
            dims=tensors["patch_embed.proj.weight"].shape[0],
            layers=sum(name.endswith("attn.qkv.weight") for name in tensors),
            hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
            bands=tensors["init_bn.weight"].shape[0],
            time_positions=tensors["time_pos_embed"].shape[3],
        )


class CedTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 64)`` to a vector for each patch."""

    def __init__(self, settings: CedSettings | None = None) -> None:
        super().__init__()
        each = settings or CedSettings()
        self.dims = each.dims
        self.bands = each.bands // PATCH
        self.most_frames: int = each.time_positions * PATCH
        self.init_bn = nn.BatchNorm2d(each.bands)
        self.patch_embed = PatchEmbedding(each.dims, PATCH)
        self.time_pos_embed = nn.Parameter(torch.zeros(1, each.dims, 1, each.time_positions))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, each.dims, self.bands, 1))
        blocks = [Block(each.dims, each.heads, each.hidden, "before") for _ in range(each.layers)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(each.dims, eps=EPS)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, bands // 16, dims)``."""
        bands_first = spectrogram.transpose(1, 2)  # (batch, bands, frames)
        normed: Tensor = self.init_bn(bands_first.unsqueeze(2)).squeeze(2)
        patches: Tensor = self.patch_embed(normed)  # (batch, dims, band patches, time patches)
        time = patches.shape[3]
        patches = patches + self.time_pos_embed[:, :, :, :time] + self.freq_pos_embed
        tokens: Tensor = self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))
        return tokens.reshape(tokens.shape[0], self.bands, time, self.dims).transpose(1, 2)
