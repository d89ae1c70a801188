"""EAT: a vision transformer with post-normalisation, on Kaldi's 128 mel bands.

Chen et al., "EAT: Self-supervised pre-training with efficient audio transformer", IJCAI 2024
(arXiv 2401.03497). Tensor names are those of the published safetensors files without ``model.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.spectrograms import PATCH
from asd_offline.models.pretrained.vit import HEAD_DIMS, NORM_EPSILON, Block, PatchEmbedding

BAND_PATCHES = 128 // PATCH


@dataclass(frozen=True, slots=True)
class EatSettings:
    """Sizes of an EAT; the defaults are those of the published ``base``."""

    dims: int = 768
    layers: int = 12
    hidden: int = 3072
    positions: int = 768 * BAND_PATCHES

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return self.dims // HEAD_DIMS

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "EatSettings":
        """Infer the sizes from a checkpoint's tensors; KeyError where one is missing."""
        return cls(
            dims=tensors["local_encoder.proj.weight"].shape[0],
            layers=sum(name.endswith("attn.qkv.weight") for name in tensors),
            hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
            positions=tensors["fixed_positional_encoder.positions"].shape[1],
        )


class FixedPositions(nn.Module):
    """Add a fixed position code to each patch."""

    positions: Tensor

    def __init__(self, count: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("positions", torch.zeros(1, count, dims))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        return tokens + self.positions[:, : tokens.shape[1]]


class EatTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 128)`` to a vector for each patch."""

    def __init__(self, settings: EatSettings | None = None) -> None:
        super().__init__()
        settings = settings or EatSettings()
        dims = settings.dims
        self.dims = dims
        self.band_patches = BAND_PATCHES
        self.max_frames: int = settings.positions // BAND_PATCHES * PATCH
        self.local_encoder = PatchEmbedding(dims, PATCH)
        self.fixed_positional_encoder = FixedPositions(settings.positions, dims)
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, dims))
        self.pre_norm = nn.LayerNorm(dims, eps=NORM_EPSILON)
        self.blocks = nn.Sequential(
            *[Block(dims, settings.heads, settings.hidden, "after") for _ in range(settings.layers)]
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, 8, dims)``, without the class token."""
        patches: Tensor = self.local_encoder(spectrogram)
        batch, dims, time_patches, band_patches = patches.shape
        tokens: Tensor = self.fixed_positional_encoder(patches.flatten(2).transpose(1, 2))
        class_token = self.extra_tokens.expand(batch, -1, -1)
        tokens = self.blocks(self.pre_norm(torch.cat([class_token, tokens], dim=1)))
        return tokens[:, 1:].reshape(batch, time_patches, band_patches, dims)
