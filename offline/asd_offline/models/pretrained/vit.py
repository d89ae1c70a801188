"""Blocks of a vision transformer, with the tensor names that published checkpoints have."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention, the three projections in one matrix."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        batch, count, dims = tokens.shape
        projected: Tensor = self.qkv(tokens)
        split = projected.reshape(batch, count, 3, self.heads, dims // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        heard = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(heard.transpose(1, 2).reshape(batch, count, dims))
        return out


class Mlp(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Attention and MLP, each beside a shortcut.

    Parameters
    ----------
    norms
        ``before``: normalise what goes into either (ViT, CED); ``after``: normalise the sum with
        the shortcut (data2vec, EAT).
    """

    def __init__(
        self, dims: int, heads: int, hidden: int, norms: Literal["before", "after"]
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=EPS)
        self.attn = Attention(dims, heads)
        self.norm2 = nn.LayerNorm(dims, eps=EPS)
        self.mlp = Mlp(dims, hidden)
        self.before = norms == "before"

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        if self.before:
            tokens = tokens + self.attn(self.norm1(tokens))
            tokens = tokens + self.mlp(self.norm2(tokens))
        else:
            tokens = self.norm1(tokens + self.attn(tokens))
            tokens = self.norm2(tokens + self.mlp(tokens))
        return tokens


class PatchEmbedding(nn.Module):
    """Cut a spectrogram into squares, and project each."""

    def __init__(self, dims: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dims, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(batch, dims, height // patch, width // patch)``."""
        patches: Tensor = self.proj(image.unsqueeze(1))
        return patches
