"""Input, parameter counts and gradients for tests of networks."""

import torch
from torch import Tensor, nn


def noise(*shape: int) -> Tensor:
    """Return reproducible white noise."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def parameter_count(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def weights_without_gradient(network: nn.Module) -> list[str]:
    """Return the names of weights whose gradient is missing or zero."""
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
    ]
