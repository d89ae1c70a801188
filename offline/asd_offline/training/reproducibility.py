"""The same result every time: deterministic algorithms, and random states that can be kept."""

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
    """Prefer algorithms that give the same result every time; warn where there is none."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    filling: Any = torch.utils.deterministic  # its type does not tell of the attribute
    fill = filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Nothing here reads memory before it is written; filling it would cost time.
    filling.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        filling.fill_uninitialized_memory = fill


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that training draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what :func:`random_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def random_kept(device: torch.device) -> Iterator[None]:
    """Leave the random states as they were, whatever is drawn inside."""
    before = random_states(device)
    try:
        yield
    finally:
        restore_random_states(before, device)
