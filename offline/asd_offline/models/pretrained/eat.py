"""EAT: a vision transformer that normalises after each sum, on Kaldi's 128 mel bands.

Chen et al., "EAT: Self-supervised pre-training with efficient audio transformer", IJCAI 2024
(arXiv 2401.03497). Tensor names are those of the published safetensors files, less ``model.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.ced import HEAD_DIMS
from asd_offline.models.pretrained.spectrograms import PATCH
from asd_offline.models.pretrained.vit import EPS, Block, PatchEmbedding

BANDS = 128 // PATCH


@dataclass(frozen=True, slots=True)
class EatSettings:
    """Sizes of an EAT; the defaults are those of the published ``base``."""

    dims: int = 768
    layers: int = 12
    hidden: int = 3072
    positions: int = 768 * BANDS

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return self.dims // HEAD_DIMS

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "EatSettings":
        """Read the sizes off a checkpoint's tensors; KeyError where one is missing."""
        return cls(
            dims=tensors["local_encoder.proj.weight"].shape[0],
            layers=sum(name.endswith("attn.qkv.weight") for name in tensors),
            hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
            positions=tensors["fixed_positional_encoder.positions"].shape[1],
        )


class Positions(nn.Module):
    """What is added to each patch for its place, time by time; never trained."""

    positions: Tensor

    def __init__(self, count: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("positions", torch.zeros(1, count, dims))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)`` with their places added."""
        return tokens + self.positions[:, : tokens.shape[1]]


class EatTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 128)`` to a vector for each patch."""

    def __init__(self, settings: EatSettings | None = None) -> None:
        super().__init__()
        each = settings or EatSettings()
        self.dims = each.dims
        self.bands = BANDS
        self.most_frames: int = each.positions // BANDS * PATCH
        self.local_encoder = PatchEmbedding(each.dims, PATCH)
        self.fixed_positional_encoder = Positions(each.positions, each.dims)
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, each.dims))
        self.pre_norm = nn.LayerNorm(each.dims, eps=EPS)
        blocks = [Block(each.dims, each.heads, each.hidden, "after") for _ in range(each.layers)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, 8, dims)``; the token of the whole clip is left out."""
        patches: Tensor = self.local_encoder(spectrogram)  # (batch, dims, time, bands)
        tokens: Tensor = self.fixed_positional_encoder(patches.flatten(2).transpose(1, 2))
        whole = self.extra_tokens.expand(tokens.shape[0], -1, -1)
        tokens = self.blocks(self.pre_norm(torch.cat([whole, tokens], dim=1)))
        return tokens[:, 1:].reshape(tokens.shape[0], patches.shape[2], self.bands, self.dims)
