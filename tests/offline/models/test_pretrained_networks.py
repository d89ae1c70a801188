"""Published transformers: tensor names, sizes, and the computation."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.pretrained.beats import (
    BeatsSettings,
    BeatsTransformer,
    position_buckets,
)
from asd_offline.models.pretrained.ced import CedSettings, CedTransformer
from asd_offline.models.pretrained.dasheng import DashengSettings, DashengTransformer
from asd_offline.models.pretrained.eat import BAND_PATCHES, EatSettings, EatTransformer
from tests.offline.network_checks import parameter_count
from tests.offline.small_checkpoints import BEATS, CED, DASHENG, EAT, randomise

RATE_HZ = 16000

BEATS_NAMES = {
    "patch_embedding.weight",
    "layer_norm.weight",
    "layer_norm.bias",
    "post_extract_proj.weight",
    "post_extract_proj.bias",
    "encoder.pos_conv.0.bias",
    "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv.0.weight_v",
    "encoder.layer_norm.weight",
    "encoder.layer_norm.bias",
}
BEATS_LAYER_NAMES = {
    f"{part}.{kind}"
    for part in (
        *(f"self_attn.{name}_proj" for name in ("k", "v", "q", "out")),
        "self_attn.grep_linear",
        "self_attn_layer_norm",
        "fc1",
        "fc2",
        "final_layer_norm",
    )
    for kind in ("weight", "bias")
} | {"self_attn.grep_a", "self_attn.relative_attention_bias.weight"}
BLOCK_NAMES = {
    f"{part}.{kind}"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
}


def layer_names(prefix: str, names: set[str], layers: int = 12) -> set[str]:
    return {f"{prefix}.{i}.{name}" for i in range(layers) for name in names}


def test_tensor_names_are_the_published_ones() -> None:
    with torch.device("meta"):
        beats, ced, eat = BeatsTransformer(), CedTransformer(), EatTransformer()
        dasheng = DashengTransformer()
    assert set(dasheng.state_dict()) == set(ced.state_dict())
    assert set(beats.state_dict()) == BEATS_NAMES | layer_names("encoder.layers", BEATS_LAYER_NAMES)
    running = {"running_mean", "running_var", "num_batches_tracked", "weight", "bias"}
    assert set(ced.state_dict()) == {
        *(f"init_bn.{name}" for name in running),
        *("patch_embed.proj.weight", "patch_embed.proj.bias", "time_pos_embed", "freq_pos_embed"),
        *("norm.weight", "norm.bias"),
        *layer_names("blocks", BLOCK_NAMES),
    }
    assert set(eat.state_dict()) == {
        *("local_encoder.proj.weight", "local_encoder.proj.bias", "extra_tokens"),
        *("fixed_positional_encoder.positions", "pre_norm.weight", "pre_norm.bias"),
        *layer_names("blocks", BLOCK_NAMES),
    }


def test_tensor_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        beats, ced, eat = BeatsTransformer(), CedTransformer(), EatTransformer()
    layer = "encoder.layers.11.self_attn"
    shapes = {
        "patch_embedding.weight": (512, 1, 16, 16),
        "encoder.pos_conv.0.weight_g": (1, 1, 128),
        "encoder.pos_conv.0.weight_v": (768, 48, 128),
        f"{layer}.grep_linear.weight": (8, 64),
        f"{layer}.grep_a": (1, 12, 1, 1),
        f"{layer}.relative_attention_bias.weight": (320, 12),
    }
    assert {name: tuple(beats.state_dict()[name].shape) for name in shapes} == shapes
    assert ced.time_pos_embed.shape == (1, 768, 1, 63)
    assert ced.freq_pos_embed.shape == (1, 768, 4, 1)
    assert eat.fixed_positional_encoder.positions.shape == (1, 6144, 768)


@pytest.mark.parametrize(
    ("network", "settings", "weights", "published_millions"),
    [
        (BeatsTransformer, BeatsSettings(), 90_311_792, 90),
        (CedTransformer, CedSettings(dims=192, hidden=768), 5_401_088, 5.5),
        (CedTransformer, CedSettings(dims=256, hidden=1024), 9_560_704, 9.6),
        (CedTransformer, CedSettings(dims=384, hidden=1536), 21_418_880, 22),
        (CedTransformer, CedSettings(), 85_304_960, 86),
        (DashengTransformer, DashengSettings(), 85_447_808, 86),
    ],
    ids=["beats", "ced tiny", "ced mini", "ced small", "ced base", "dasheng"],
)
def test_published_sizes(
    network: type[nn.Module], settings: object, weights: int, published_millions: float
) -> None:
    with torch.device("meta"):
        count = parameter_count(network(settings))
    assert count == weights
    # CED's published numbers include the classifier of 527 sounds, which is not used here.
    dims = getattr(settings, "dims", 0)
    classifier = 2 * dims + 527 * dims + 527 if dims else 0
    assert (count + classifier) / 1e6 == pytest.approx(published_millions, rel=0.02)


def test_eat_sizes() -> None:
    # Published: 88 and 309 million, with the decoder that only serves pre-training.
    large = EatSettings(dims=1024, layers=24, hidden=4096)
    with torch.device("meta"):
        counts = [parameter_count(EatTransformer(settings)) for settings in (EatSettings(), large)]
    assert counts == [85_254_144, 302_575_616]


def test_position_buckets_are_exact_nearby_and_logarithmic_far_away() -> None:
    buckets = position_buckets(1200, 320, 800)
    assert buckets[5, 5] == 0
    assert buckets[6, 5] == 1  # the key before
    assert buckets[5, 6] == 161  # the key after
    assert buckets[100, 21] == 79
    assert buckets[100, 20] == 80  # larger distances share buckets
    assert buckets[0, 1199] == 319
    assert buckets[1199, 0] == 159
    earlier_keys = buckets[:, 0]
    assert bool((earlier_keys.diff() >= 0).all())


def reference_beats(tensors: dict[str, Tensor], spectrogram: Tensor) -> Tensor:
    """Compute BEATs with torch's attention and weight normalisation, and loops."""
    heads, layers = BEATS.encoder_attention_heads, BEATS.encoder_layers
    patches = F.conv2d(spectrogram[:, None], tensors["patch_embedding.weight"], stride=16)
    tokens = patches.flatten(2).transpose(1, 2)
    norm = "layer_norm"
    tokens = F.layer_norm(
        tokens, tokens.shape[2:], tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
    )
    tokens = F.linear(
        tokens, tensors["post_extract_proj.weight"], tensors["post_extract_proj.bias"]
    )
    dims = tokens.shape[2]
    positions = nn.Conv1d(dims, dims, 16, padding=8, groups=4)
    positions = nn.utils.parametrizations.weight_norm(positions, dim=2)
    positions.parametrizations.weight.original0.data = tensors["encoder.pos_conv.0.weight_g"]
    positions.parametrizations.weight.original1.data = tensors["encoder.pos_conv.0.weight_v"]
    positions.bias.data = tensors["encoder.pos_conv.0.bias"]
    tokens = tokens + F.gelu(positions(tokens.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
    norm = "encoder.layer_norm"
    tokens = F.layer_norm(tokens, (dims,), tensors[f"{norm}.weight"], tensors[f"{norm}.bias"])
    for layer in range(layers):
        prefix = f"encoder.layers.{layer}."
        weights = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        tokens = reference_beats_layer(weights, tokens, heads, (2 * layers) ** 0.25)
    return tokens


def reference_bucket(query: int, key: int) -> int:
    half, exact = BEATS.num_buckets // 2, BEATS.num_buckets // 4
    offset, distance = (half if key > query else 0), abs(key - query)
    if distance < exact:
        return offset + distance
    fraction = math.log(distance / exact) / math.log(BEATS.max_distance / exact)
    return offset + min(exact + int(fraction * (half - exact)), half - 1)


def reference_beats_layer(
    weights: dict[str, Tensor], tokens: Tensor, heads: int, alpha: float
) -> Tensor:
    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (dims,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    batch, count, dims = tokens.shape
    query = linear("self_attn.q_proj", tokens)
    biases = torch.zeros(batch, heads, count, count)
    for i in range(batch):
        for head in range(heads):
            head_query = query[i, :, head * dims // heads : (head + 1) * dims // heads]
            gates = linear("self_attn.grep_linear", head_query)
            gate_1, gate_2 = gates[:, :4].sum(1).sigmoid(), gates[:, 4:].sum(1).sigmoid()
            gate = gate_1 * (gate_2 * weights["self_attn.grep_a"][0, head, 0, 0] - 1) + 2
            table = weights["self_attn.relative_attention_bias.weight"][:, head]
            for q in range(count):
                for k in range(count):
                    biases[i, head, q, k] = gate[q] * table[reference_bucket(q, k)]
    names = ("q_proj", "k_proj", "v_proj")
    attended, _ = F.multi_head_attention_forward(
        *(tokens.transpose(0, 1),) * 3,
        embed_dim_to_check=dims,
        num_heads=heads,
        in_proj_weight=torch.cat([weights[f"self_attn.{name}.weight"] for name in names]),
        in_proj_bias=torch.cat([weights[f"self_attn.{name}.bias"] for name in names]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=weights["self_attn.out_proj.weight"],
        out_proj_bias=weights["self_attn.out_proj.bias"],
        training=False,
        attn_mask=biases.flatten(0, 1),
    )
    tokens = norm("self_attn_layer_norm", alpha * tokens + attended.transpose(0, 1))
    mlp = linear("fc2", F.gelu(linear("fc1", tokens)))
    return norm("final_layer_norm", alpha * tokens + mlp)


def test_beats_equals_a_reference_with_torchs_attention() -> None:
    network = BeatsTransformer(BEATS).eval()
    tensors = randomise(network, 0.3)
    spectrogram = torch.randn(2, 90, 128, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        patches = network(spectrogram)
        expected = reference_beats(tensors, spectrogram)
    assert patches.shape == (2, 5, 8, 24)
    torch.testing.assert_close(patches.flatten(1, 2), expected, rtol=1e-4, atol=1e-4)


def reference_layer(tensors: dict[str, Tensor], layer: int, *, norm_first: bool) -> nn.Module:
    reference = nn.TransformerEncoderLayer(
        128, 2, 64, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=norm_first
    )
    names = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    reference.load_state_dict(
        {
            f"{torchs}{kind}": tensors[f"blocks.{layer}.{ours}{kind}"]
            for torchs, ours in names.items()
            for kind in ("weight", "bias")
        }
    )
    return reference


def test_ced_equals_a_reference_with_torchs_layers() -> None:
    network = CedTransformer(CED).eval()
    tensors = randomise(network, 0.3)
    spectrogram = torch.randn(2, 70, 64, generator=torch.Generator().manual_seed(3))
    mean, variance = tensors["init_bn.running_mean"], tensors["init_bn.running_var"]
    scaled = (spectrogram - mean) / (variance + 1e-5).sqrt()
    scaled = scaled * tensors["init_bn.weight"] + tensors["init_bn.bias"]
    embedded = torch.zeros(2, 4, 4, 128)
    with torch.no_grad():
        patches = network(spectrogram)
        for time in range(4):
            for band in range(4):
                patch = scaled[:, 16 * time : 16 * time + 16, 16 * band : 16 * band + 16]
                kernel = tensors["patch_embed.proj.weight"].flatten(1)
                embedded[:, time, band] = (
                    patch.transpose(1, 2).flatten(1) @ kernel.t()
                    + tensors["patch_embed.proj.bias"]
                    + tensors["time_pos_embed"][0, :, 0, time]
                    + tensors["freq_pos_embed"][0, :, band, 0]
                )
        tokens = embedded.flatten(1, 2)
        for layer in range(CED.layers):
            tokens = reference_layer(tensors, layer, norm_first=True)(tokens)
        tokens = F.layer_norm(tokens, (128,), tensors["norm.weight"], tensors["norm.bias"], 1e-6)
    torch.testing.assert_close(patches.flatten(1, 2), tokens, rtol=1e-4, atol=1e-4)


def test_dasheng_equals_a_reference_with_torchs_layers() -> None:
    network = DashengTransformer(DASHENG).eval()
    tensors = randomise(network, 0.3)
    spectrogram = torch.randn(2, 151, 64, generator=torch.Generator().manual_seed(3))
    mean, variance = tensors["init_bn.running_mean"], tensors["init_bn.running_var"]
    scaled = (spectrogram - mean) / (variance + 1e-5).sqrt()
    scaled = scaled * tensors["init_bn.weight"] + tensors["init_bn.bias"]
    with torch.no_grad():
        found = network(spectrogram)
        kernel = tensors["patch_embed.proj.weight"].flatten(1)
        steps = [scaled[:, 4 * i : 4 * i + 4].transpose(1, 2).flatten(1) for i in range(37)]
        embedded = torch.stack(steps, 1) @ kernel.t() + tensors["patch_embed.proj.bias"]
        positions = tensors["time_pos_embed"][0, :, 0].t()
        parts = []
        for tokens in (embedded[:, :30], embedded[:, 30:]):  # 30 positions: two parts
            tokens = tokens + positions[: tokens.shape[1]] + tensors["freq_pos_embed"].flatten()
            for layer in range(DASHENG.layers):
                tokens = reference_layer(tensors, layer, norm_first=True)(tokens)
            norm = (tensors["norm.weight"], tensors["norm.bias"])
            parts.append(F.layer_norm(tokens, (128,), *norm, 1e-6))
    assert found.shape == (2, 37, 1, 128)
    torch.testing.assert_close(found[:, :, 0], torch.cat(parts, 1), rtol=1e-4, atol=1e-4)


def test_eat_equals_a_reference_with_torchs_layers() -> None:
    network = EatTransformer(EAT).eval()
    tensors = randomise(network, 0.3)
    spectrogram = torch.randn(2, 48, 128, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        patches = network(spectrogram)
        kernel, bias = tensors["local_encoder.proj.weight"], tensors["local_encoder.proj.bias"]
        embedded = F.conv2d(spectrogram[:, None], kernel, bias, stride=16)
        rows = [embedded[:, :, time, band] for time in range(3) for band in range(BAND_PATCHES)]
        tokens = torch.stack(rows, 1) + tensors["fixed_positional_encoder.positions"][:, :24]
        tokens = torch.cat([tensors["extra_tokens"].expand(2, 1, 128), tokens], 1)
        norm = (tensors["pre_norm.weight"], tensors["pre_norm.bias"])
        tokens = F.layer_norm(tokens, (128,), *norm, 1e-6)
        for layer in range(EAT.layers):
            tokens = reference_layer(tensors, layer, norm_first=False)(tokens)
    assert patches.shape == (2, 3, BAND_PATCHES, 128)
    torch.testing.assert_close(patches.flatten(1, 2), tokens[:, 1:], rtol=1e-4, atol=1e-4)
