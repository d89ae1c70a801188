"""Dasheng: a vision transformer on patches of four frames and all 64 mel bands.

Dinkel et al., "Scaling up masked audio encoder learning for general audio classification",
Interspeech 2024 (arXiv 2406.06992). Tensor names are those of the published files without
``encoder.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.vit import HEAD_DIMS, NORM_EPSILON, Block, PatchEmbedding

MEL_BANDS = 64
PATCH_FRAMES = 4
"""40 ms."""
HEADS = {1280: 16}
"""Heads of the published 0.6B by the length of its vectors; the others have 64 values a head."""


@dataclass(frozen=True, slots=True)
class DashengSettings:
    """Sizes of a Dasheng; the defaults are those of the published ``base``."""

    dims: int = 768
    layers: int = 12
    hidden: int = 3072
    time_positions: int = 252

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return HEADS.get(self.dims, max(self.dims // HEAD_DIMS, 1))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "DashengSettings":
        """Infer the sizes from a checkpoint's tensors; KeyError where one is missing."""
        return cls(
            dims=tensors["patch_embed.proj.weight"].shape[0],
            layers=sum(name.endswith("attn.qkv.weight") for name in tensors),
            hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
            time_positions=tensors["time_pos_embed"].shape[3],
        )


class DashengTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 64)`` to a vector for each step of four frames.

    Longer windows than there are positions (10.08 s) are divided into parts of this length, each
    with its own attention, as in the published program.
    """

    def __init__(self, settings: DashengSettings | None = None) -> None:
        super().__init__()
        settings = settings or DashengSettings()
        dims = settings.dims
        self.dims = dims
        self.band_patches = 1
        self.max_frames = 0
        self.time_positions = settings.time_positions
        self.init_bn = nn.BatchNorm2d(MEL_BANDS)
        self.patch_embed = PatchEmbedding(dims, (MEL_BANDS, PATCH_FRAMES))
        self.time_pos_embed = nn.Parameter(torch.zeros(1, dims, 1, settings.time_positions))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, dims, 1, 1))
        self.blocks = nn.Sequential(
            *[
                Block(dims, settings.heads, settings.hidden, "before")
                for _ in range(settings.layers)
            ]
        )
        self.norm = nn.LayerNorm(dims, eps=NORM_EPSILON)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 4, 1, dims)``."""
        image = spectrogram.transpose(1, 2)  # (batch, mel bands, frames)
        image = self.init_bn(image.unsqueeze(2)).squeeze(2)
        patches: Tensor = self.patch_embed(image)  # (batch, dims, 1, steps)
        encoded: list[Tensor] = []
        for part in torch.split(patches, self.time_positions, dim=3):
            placed = part + self.time_pos_embed[:, :, :, : part.shape[3]] + self.freq_pos_embed
            tokens: Tensor = self.norm(self.blocks(placed.flatten(2).transpose(1, 2)))
            encoded.append(tokens)
        return torch.cat(encoded, dim=1).unsqueeze(2)
