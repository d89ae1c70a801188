"""Batch normalisation's statistics, taken anew with the weights that training ended with.

While training they run after the weights: after hundreds of steps instead of tens of thousands
they are still those of earlier weights, and the network scores with the wrong ones (Wu and Johnson,
"Rethinking 'Batch' in BatchNorm", 2021, section 3).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCHES_AT_MOST = 200


def normalised(network: nn.Module) -> list[_BatchNorm]:
    """Return the layers of batch normalisation that keep statistics."""
    return [
        each
        for each in network.modules()
        if isinstance(each, _BatchNorm) and each.track_running_stats
    ]


def settle_norms(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Replace the statistics by their plain mean over batches; the weights stay as they are.

    Parameters
    ----------
    network
        Left in evaluation mode.
    batches
        What its ``forward`` takes.
    """
    norms = normalised(network)
    if not norms:
        return
    momenta = [each.momentum for each in norms]
    network.eval()  # without masks and dropout, as it scores
    for each in norms:
        each.train()
        each.reset_running_stats()
        each.momentum = None  # torch's word for a plain mean
    try:
        with torch.no_grad():
            for batch in batches:
                network(*batch)
    finally:
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
            each.eval()
