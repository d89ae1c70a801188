"""Checkpoints with the layout of the published ones and small random weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asd_offline.models.pretrained.beats import BeatsSettings, BeatsTransformer
from asd_offline.models.pretrained.ced import CedSettings, CedTransformer
from asd_offline.models.pretrained.dasheng import DashengSettings, DashengTransformer
from asd_offline.models.pretrained.eat import BAND_PATCHES, EatSettings, EatTransformer
from asd_offline.models.pretrained.front_end import PretrainedFrontEnd
from asd_offline.models.pretrained.loading import load_front_end

RATE_HZ = 16000
BEATS = BeatsSettings(
    embed_dim=8,
    encoder_layers=2,
    encoder_embed_dim=24,
    encoder_ffn_embed_dim=32,
    encoder_attention_heads=2,
    conv_pos=16,
    conv_pos_groups=4,
    num_buckets=32,
    max_distance=80,
)
CED = CedSettings(dims=128, layers=2, hidden=64, time_positions=12)
DASHENG = DashengSettings(dims=128, layers=2, hidden=64, time_positions=30)
EAT = EatSettings(dims=128, layers=2, hidden=64, positions=20 * BAND_PATCHES)

CFG = {
    "input_patch_size": 16,
    "embed_dim": 8,
    "conv_bias": False,
    "encoder_layers": 2,
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 32,
    "encoder_attention_heads": 2,
    "activation_fn": "gelu",
    "layer_wise_gradient_decay_ratio": 1.0,
    "layer_norm_first": False,
    "deep_norm": True,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.05,
    "dropout_input": 0.1,
    "conv_pos": 16,
    "conv_pos_groups": 4,
    "relative_position_embedding": True,
    "num_buckets": 32,
    "max_distance": 80,
    "gru_rel_pos": True,
}
"""The settings stored in a BEATs checkpoint, with small sizes."""


def sound(samples: int = RATE_HZ, batch: int = 2) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


def randomise(network: nn.Module, spread: float = 0.1) -> dict[str, Tensor]:
    """Give a network weights of which none is zero or one, and return them by name."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            mean = 1.0 if name.endswith(("norm.weight", "norm1.weight", "running_var")) else 0.0
            tensor.copy_(mean + (0.1 if mean else spread) * noise)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def beats_file(
    path: Path, *, fine_tuned: bool = False, cfg: Mapping[str, object] | None = None
) -> Path:
    """Write ``{"cfg": ..., "model": ...}`` with ``torch.save``, as Microsoft did."""
    tensors = randomise(BeatsTransformer(BEATS))
    first = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    shared = tensors[first]
    tensors |= {
        name: shared for name in tensors if name.endswith(first.rsplit(".", 2)[1] + ".weight")
    }
    settings = CFG | dict(cfg or {})
    if fine_tuned:
        tensors |= {"predictor.weight": torch.ones(5, 24), "predictor.bias": torch.zeros(5)}
        settings |= {"finetuned_model": True, "predictor_class": 5, "predictor_dropout": 0.0}
    torch.save({"cfg": settings, "model": tensors}, path)
    return path


def ced_file(path: Path) -> Path:
    """Write the tensors as on Hugging Face (safetensors), or as on Zenodo (``.pt``)."""
    head = {
        "outputlayer.0.weight": torch.ones(128),
        "outputlayer.0.bias": torch.zeros(128),
        "outputlayer.1.weight": torch.ones(5, 128),
        "outputlayer.1.bias": torch.zeros(5),
    }
    tensors = randomise(CedTransformer(CED))
    if path.suffix == ".pt":
        renamed = {
            name.replace("init_bn.", "init_bn.1."): tensor for name, tensor in tensors.items()
        }
        front = {"front_end.0.spectrogram.window": torch.ones(512)}
        torch.save({**front, **renamed, **head}, path)
    else:
        save_file({f"encoder.{name}": tensor for name, tensor in tensors.items()} | head, path)
    return path


def dasheng_file(path: Path) -> Path:
    """Write ``{"model": ..., "config": ...}`` with ``torch.save``, as on Zenodo."""
    tensors = randomise(DashengTransformer(DASHENG))
    renamed = {name.replace("init_bn.", "init_bn.1."): tensor for name, tensor in tensors.items()}
    front = {"front_end.0.spectrogram.window": torch.ones(512)}
    config = {"embed_dim": 128, "depth": 2, "num_heads": 2}
    torch.save({"model": {**front, **renamed}, "config": config}, path)
    return path


def eat_file(path: Path) -> Path:
    """Write the tensors as on Hugging Face (safetensors)."""
    tensors = randomise(EatTransformer(EAT))
    save_file({f"model.{name}": tensor for name, tensor in tensors.items()}, path)
    return path


WRITERS = {"beats": beats_file, "ced": ced_file, "dasheng": dasheng_file, "eat": eat_file}
SUFFIXES = {"beats": ".pt", "ced": ".safetensors", "dasheng": ".pt", "eat": ".safetensors"}


def checkpoint(folder: Path, architecture: str) -> Path:
    """Write a small checkpoint of an architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[architecture](folder / f"{architecture}{SUFFIXES[architecture]}")


def load_checkpoint(
    path: Path, architecture: str = "auto", sample_rate_hz: int = RATE_HZ
) -> PretrainedFrontEnd:
    """Load a checkpoint whose digest is the one given."""
    return load_front_end(path, sha256(path), architecture, sample_rate_hz)
