"""BEATs: a transformer with gated relative position bias.

Chen et al., "BEATs: Audio pre-training with acoustic tokenizers", ICML 2023 (arXiv 2212.09058):
patches of 16 x 16, positions from a convolution over the sequence, a relative position bias
(Raffel et al., "T5", JMLR 2020) gated by each query (Chi et al., "XLM-E", ACL 2022), and
post-normalisation with scaled shortcuts (Wang et al., "DeepNet", arXiv 2203.00555). Tensor names
are those of the published files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.pretrained.spectrograms import PATCH

MEL_BANDS = 128
SHARED_SETTINGS: dict[str, object] = {
    "input_patch_size": PATCH,
    "conv_bias": False,
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}
"""Settings that all fifteen published checkpoints share; no other values are implemented."""


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
    def from_cfg(cls, cfg: Mapping[str, object]) -> "BeatsSettings":
        """Read the ``cfg`` of a checkpoint.

        Raises
        ------
        ValueError
            If a size is missing or not a positive integer, or a setting is not implemented.
        """
        for name, expected in SHARED_SETTINGS.items():
            if cfg.get(name) != expected:
                msg = f"cfg.{name}: expected {expected!r}, found {cfg.get(name)!r}"
                raise ValueError(msg)
        sizes = {}
        for field in fields(cls):
            size = cfg.get(field.name)
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"cfg.{field.name}: expected a positive integer, found {size!r}")
            sizes[field.name] = size
        return cls(**sizes)


def position_buckets(length: int, buckets: int, max_distance: int) -> Tensor:
    """Return the position bucket of each key (column) relative to each query (row).

    Half of the buckets are for keys after the query. In each half, the first half of the buckets
    hold one distance each, the others cover distances up to ``max_distance`` logarithmically
    (T5, section 2.1).

    Returns
    -------
    torch.Tensor
        ``(length, length)`` int64.
    """
    positions = torch.arange(length)
    offset = positions[None, :] - positions[:, None]
    distance = offset.abs()
    per_direction = buckets // 2
    exact = per_direction // 2
    relative = distance.clamp_min(1).float() / exact
    scaled = torch.log(relative) / math.log(max_distance / exact) * (per_direction - exact)
    logarithmic = (exact + scaled.long()).clamp_max(per_direction - 1)
    bucket = torch.where(distance < exact, distance, logarithmic)
    return bucket + (offset > 0).long() * per_direction


class RelativeAttention(nn.Module):
    """Multi-head self-attention with a relative position bias, gated by each query.

    ``softmax(q k' / sqrt(d) + g b) v`` with ``g = g1 (g2 a - 1) + 2``, where ``g1`` and ``g2`` are
    sigmoids of a projection of the query, ``a`` is learned per head, and ``b`` is the bias.
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
        self.relative_attention_bias = bias  # shared by all layers, stored with each

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return ``(batch, length, dims)``.

        Parameters
        ----------
        tokens
            ``(batch, length, dims)``.
        bias
            ``(heads, length, length)``.
        """
        query = self._split_heads(self.q_proj(tokens))
        key = self._split_heads(self.k_proj(tokens))
        value = self._split_heads(self.v_proj(tokens))
        gates: Tensor = self.grep_linear(query)  # (batch, heads, length, 8)
        batch, heads, length, _ = gates.shape
        gates = gates.reshape(batch, heads, length, 2, 4).sum(4).sigmoid()
        gate_1, gate_2 = gates.chunk(2, dim=3)  # (batch, heads, length, 1)
        gate = gate_1 * (gate_2 * self.grep_a - 1.0) + 2.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=gate * bias)
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out

    def _split_heads(self, projected: Tensor) -> Tensor:
        """Return ``(batch, heads, length, head_dims)`` of ``(batch, length, dims)``."""
        batch, length, _ = projected.shape
        return projected.reshape(batch, length, self.heads, self.head_dims).transpose(1, 2)


class BeatsLayer(nn.Module):
    """Attention and MLP; each shortcut is scaled by ``alpha = (2 layers)^(1/4)`` (DeepNet)."""

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
        """Return ``(batch, length, dims)``; arguments as for :class:`RelativeAttention`."""
        attended: Tensor = self.self_attn(tokens, bias)
        tokens = self.self_attn_layer_norm(tokens * self.alpha + attended)
        mlp: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        out: Tensor = self.final_layer_norm(tokens * self.alpha + mlp)
        return out


class PositionConvolution(nn.Module):
    """A grouped convolution over the sequence, weight-normalised per tap."""

    def __init__(self, dims: int, taps: int, groups: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(1, 1, taps))
        self.weight_v = nn.Parameter(torch.randn(dims, dims // groups, taps) / math.sqrt(dims))
        self.bias = nn.Parameter(torch.zeros(dims))
        self.taps = taps
        self.groups = groups

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        norm = self.weight_v.square().sum((0, 1), keepdim=True).sqrt()
        kernel = self.weight_v * (self.weight_g / norm)
        sequence = tokens.transpose(1, 2)  # (batch, dims, length)
        padding = self.taps // 2
        positions = F.conv1d(sequence, kernel, self.bias, padding=padding, groups=self.groups)
        # An even number of taps yields one position too many.
        return F.gelu(positions[:, :, : sequence.shape[2]]).transpose(1, 2)


class BeatsEncoder(nn.Module):
    """The transformer on projected patches."""

    def __init__(self, settings: BeatsSettings) -> None:
        super().__init__()
        dims = settings.encoder_embed_dim
        self.buckets, self.max_distance = settings.num_buckets, settings.max_distance
        convolution = PositionConvolution(dims, settings.conv_pos, settings.conv_pos_groups)
        self.pos_conv = nn.Sequential(convolution)
        self.layer_norm = nn.LayerNorm(dims)
        bias = nn.Embedding(settings.num_buckets, settings.encoder_attention_heads)
        layers = [BeatsLayer(settings, bias) for _ in range(settings.encoder_layers)]
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(batch, length, dims)`` of the same."""
        tokens = self.layer_norm(tokens + self.pos_conv(tokens))
        buckets = position_buckets(tokens.shape[1], self.buckets, self.max_distance)
        table = self.layers[0].self_attn.relative_attention_bias  # type: ignore[union-attr]
        bias: Tensor = table(buckets.to(tokens.device)).permute(2, 0, 1)  # type: ignore[operator]
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return tokens


class BeatsTransformer(nn.Module):
    """Spectrogram ``(batch, frames, 128)`` to a vector for each patch; any number of frames."""

    def __init__(self, settings: BeatsSettings | None = None) -> None:
        super().__init__()
        settings = settings or BeatsSettings()
        embed_dims, dims = settings.embed_dim, settings.encoder_embed_dim
        self.dims = dims
        self.band_patches = MEL_BANDS // PATCH
        self.max_frames: int = 0
        self.patch_embedding = nn.Conv2d(1, embed_dims, PATCH, PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(embed_dims)
        self.post_extract_proj = (
            nn.Linear(embed_dims, dims) if embed_dims != dims else nn.Identity()
        )
        self.encoder = BeatsEncoder(settings)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``(batch, frames // 16, 8, dims)``."""
        patches: Tensor = self.patch_embedding(spectrogram.unsqueeze(1))
        batch, _, time_patches, band_patches = patches.shape
        embedded = patches.flatten(2).transpose(1, 2)  # (batch, time * bands, embed_dims)
        tokens: Tensor = self.encoder(self.post_extract_proj(self.layer_norm(embedded)))
        return tokens.reshape(batch, time_patches, band_patches, self.dims)
