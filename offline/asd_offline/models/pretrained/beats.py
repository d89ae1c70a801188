"""BEATs: a transformer whose attention knows how far apart two patches are.

Chen et al., "BEATs: Audio pre-training with acoustic tokenizers", ICML 2023 (arXiv 2212.09058):
patches of 16 x 16, a convolution over the sequence as position, relative position bias (Raffel
et al., "T5", JMLR 2020) with a gate per query (Chi et al., "XLM-E", ACL 2022), and normalisation
after sums with a weighted shortcut (Wang et al., "DeepNet", 2022). Tensor names are those of the
published files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.pretrained.spectrograms import PATCH

BANDS = 128
ONLY: dict[str, object] = {
    "input_patch_size": PATCH,
    "conv_bias": False,
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}
"""Settings that all fifteen published checkpoints share, and that are built in here."""


@dataclass(frozen=True, slots=True)
class BeatsSettings:
    """Sizes of a BEATs, named as in its checkpoints; the defaults are the published ones."""

    embed_dim: int = 512
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    conv_pos: int = 128
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> "BeatsSettings":
        """Read the ``cfg`` of a checkpoint.

        Raises
        ------
        ValueError
            If a size is missing or no whole number, or a setting is not built in here.
        """
        for name, expected in ONLY.items():
            if settings.get(name) != expected:
                msg = f"cfg.{name}: expected {expected!r}, found {settings.get(name)!r}"
                raise ValueError(msg)
        sizes = {}
        for field in fields(cls):
            size = settings.get(field.name)
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"cfg.{field.name}: expected a whole number, found {size!r}")
            sizes[field.name] = size
        return cls(**sizes)


def position_buckets(count: int, buckets: int, most_distance: int) -> Tensor:
    """Return the bucket ``(count, count)`` int64 of each key (column) as seen from each query.

    Half of the buckets are for keys that come later. Of a half, half have one distance each, the
    others distances on a logarithmic scale up to ``most_distance``.
    """
    places = torch.arange(count)
    offset = places[None, :] - places[:, None]
    distance = offset.abs()
    half = buckets // 2
    exact = half // 2
    relative = distance.clamp_min(1).float() / exact
    scaled = torch.log(relative) / math.log(most_distance / exact) * (half - exact)
    far = (exact + scaled.long()).clamp_max(half - 1)
    return torch.where(distance < exact, distance, far) + (offset > 0).long() * half


class RelativeAttention(nn.Module):
    """Multi-head self-attention with a position bias that each query lets through more or less.

    ``softmax(q k' / sqrt(d) + g b) v`` with ``g = g1 (g2 a - 1) + 2``, where ``g1`` and ``g2`` are
    sigmoids of a projection of the query, ``a`` is learned per head, ``b`` the bias.
    """

    def __init__(self, settings: BeatsSettings, bias: nn.Embedding) -> None:
        super().__init__()
        dims = settings.encoder_embed_dim
        self.heads = settings.encoder_attention_heads
        self.head_dims = dims // self.heads
        self.k_proj = nn.Linear(dims, dims)
        self.v_proj = nn.Linear(dims, dims)
        self.q_proj = nn.Linear(dims, dims)
        self.out_proj = nn.Linear(dims, dims)
        self.grep_linear = nn.Linear(self.head_dims, 8)
        self.grep_a = nn.Parameter(torch.ones(1, self.heads, 1, 1))
        self.relative_attention_bias = bias  # one for all layers, stored with each

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``; ``bias`` is ``(heads, tokens, tokens)``."""
        query = self._by_head(self.q_proj(tokens))
        key = self._by_head(self.k_proj(tokens))
        value = self._by_head(self.v_proj(tokens))
        gates: Tensor = self.grep_linear(query)  # (batch, heads, tokens, 8)
        batch, heads, count, _ = gates.shape
        opened = gates.reshape(batch, heads, count, 2, 4).sum(4).sigmoid()
        first, second = opened.chunk(2, dim=3)
        gate = first * (second * self.grep_a - 1.0) + 2.0
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=gate * bias)
        out: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))
        return out

    def _by_head(self, projected: Tensor) -> Tensor:
        """Return ``(batch, heads, tokens, head_dims)``."""
        batch, count, _ = projected.shape
        return projected.reshape(batch, count, self.heads, self.head_dims).transpose(1, 2)


class BeatsLayer(nn.Module):
    """Attention and two dense layers; shortcuts count ``alpha`` times (DeepNet)."""

    def __init__(self, settings: BeatsSettings, bias: nn.Embedding) -> None:
        super().__init__()
        dims, hidden = settings.encoder_embed_dim, settings.encoder_ffn_embed_dim
        self.self_attn = RelativeAttention(settings, bias)
        self.self_attn_layer_norm = nn.LayerNorm(dims)
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)
        self.final_layer_norm = nn.LayerNorm(dims)
        self.alpha = (2.0 * settings.encoder_layers) ** 0.25

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        heard: Tensor = self.self_attn(tokens, bias)
        tokens = self.self_attn_layer_norm(tokens * self.alpha + heard)
        dense: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        out: Tensor = self.final_layer_norm(tokens * self.alpha + dense)
        return out


class PositionConvolution(nn.Module):
    """A grouped convolution over the sequence, its kernel a direction and a length per tap."""

    def __init__(self, dims: int, taps: int, groups: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(1, 1, taps))
        self.weight_v = nn.Parameter(torch.randn(dims, dims // groups, taps) / math.sqrt(dims))
        self.bias = nn.Parameter(torch.zeros(dims))
        self.taps = taps
        self.groups = groups

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        length = self.weight_v.square().sum((0, 1), keepdim=True).sqrt()
        kernel = self.weight_v * (self.weight_g / length)
        sequence = tokens.transpose(1, 2)
        places = F.conv1d(sequence, kernel, self.bias, padding=self.taps // 2, groups=self.groups)
        # An even number of taps gives one place too many.
        return F.gelu(places[:, :, : sequence.shape[2]]).transpose(1, 2)


class BeatsEncoder(nn.Module):
    """The transformer on projected patches."""

    def __init__(self, settings: BeatsSettings) -> None:
        super().__init__()
        dims = settings.encoder_embed_dim
        self.buckets, self.most_distance = settings.num_buckets, settings.max_distance
        convolution = PositionConvolution(dims, settings.conv_pos, settings.conv_pos_groups)
        self.pos_conv = nn.Sequential(convolution)
        self.layer_norm = nn.LayerNorm(dims)
        bias = nn.Embedding(settings.num_buckets, settings.encoder_attention_heads)
        layers = [BeatsLayer(settings, bias) for _ in range(settings.encoder_layers)]
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, tokens, dims)``."""
        tokens = self.layer_norm(tokens + self.pos_conv(tokens))
        buckets = position_buckets(tokens.shape[1], self.buckets, self.most_distance)
        table = self.layers[0].self_attn.relative_attention_bias  # type: ignore[union-attr]
        bias: Tensor = table(buckets.to(tokens.device)).permute(2, 0, 1)  # type: ignore[operator]
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return tokens


class BeatsTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 128)`` to a vector for each patch; any number of frames."""

    def __init__(self, settings: BeatsSettings | None = None) -> None:
        super().__init__()
        each = settings or BeatsSettings()
        narrow, dims = each.embed_dim, each.encoder_embed_dim
        self.dims = dims
        self.bands = BANDS // PATCH
        self.most_frames: int = 0
        self.patch_embedding = nn.Conv2d(1, narrow, PATCH, PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(narrow)
        self.post_extract_proj = nn.Linear(narrow, dims) if narrow != dims else nn.Identity()
        self.encoder = BeatsEncoder(each)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, 8, dims)``."""
        patches: Tensor = self.patch_embedding(spectrogram.unsqueeze(1))
        normed = self.layer_norm(patches.flatten(2).transpose(1, 2))
        tokens: Tensor = self.encoder(self.post_extract_proj(normed))
        return tokens.reshape(tokens.shape[0], patches.shape[2], self.bands, self.dims)
