"""Reproducible training: deterministic algorithms, derived seeds and saved random states."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor


def derive_seed(seed: int, *purpose: object) -> int:
    """Return a seed for one purpose, so that no two purposes share their random numbers."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(sha256(text.encode()).digest()[:7], "big")


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms inside the block; torch warns where there is none."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    settings: Any = torch.utils.deterministic  # its type lacks the attribute
    fill = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # No code here reads memory before it is written; filling it would cost time.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        settings.fill_uninitialized_memory = fill


def get_random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the global generators that training uses."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Restore what :func:`get_random_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def preserved_random_states(device: torch.device) -> Iterator[None]:
    """Restore the random states after the block."""
    states = get_random_states(device)
    try:
        yield
    finally:
        set_random_states(states, device)
