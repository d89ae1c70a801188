"""The number format of products and activations while training."""

import torch

from asd_offline.recipes import Recipe


def training_precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Return the type for ``torch.autocast``; float32 if the recipe or device has no shorter one.

    Weights, optimiser and loss are float32 in any case.
    """
    if device.type == "cuda" and recipe.mixed_precision:
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and recipe.cpu_bfloat16 and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Return whether products in bfloat16 are faster than in float32 (x86 with AVX-512 BF16)."""
    if not hasattr(torch.cpu, "get_capabilities"):  # newer than the oldest supported torch
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
