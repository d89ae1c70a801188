"""Blocks of a vision transformer, with the tensor names of published checkpoints.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

HEAD_DIMS = 64
"""Dimensions of an attention head in every published size."""
NORM_EPSILON = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        batch, length, dims = tokens.shape
        qkv: Tensor = self.qkv(tokens)
        qkv = qkv.reshape(batch, length, 3, self.heads, dims // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (batch, heads, length, ...)
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, length, dims))
        return out


class Mlp(nn.Module):
    """Two linear layers with GELU in between."""

    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Attention and MLP, each with a shortcut.

    Parameters
    ----------
    dims, heads, hidden
        Length of a token, number of heads, width of the MLP.
    norms
        ``before``: normalise the input of each (ViT, CED); ``after``: normalise the sum with the
        shortcut (data2vec, EAT).
    """

    def __init__(
        self, dims: int, heads: int, hidden: int, norms: Literal["before", "after"]
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=NORM_EPSILON)
        self.attn = Attention(dims, heads)
        self.norm2 = nn.LayerNorm(dims, eps=NORM_EPSILON)
        self.mlp = Mlp(dims, hidden)
        self.pre_norm = norms == "before"

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        if self.pre_norm:
            tokens = tokens + self.attn(self.norm1(tokens))
            tokens = tokens + self.mlp(self.norm2(tokens))
        else:
            tokens = self.norm1(tokens + self.attn(tokens))
            tokens = self.norm2(tokens + self.mlp(tokens))
        return tokens


class PatchEmbedding(nn.Module):
    """Divide an image into patches, square or ``(height, width)``, and project each to a vector."""

    def __init__(self, dims: int, patch: int | tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dims, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(batch, dims, rows, columns)`` of ``(batch, height, width)``.

        Incomplete patches at the edges are dropped.
        """
        patches: Tensor = self.proj(image.unsqueeze(1))
        return patches
