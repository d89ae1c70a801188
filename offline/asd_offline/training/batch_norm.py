"""Recompute the statistics of batch normalisation with the final weights.

While training they are running means over earlier weights. After hundreds of steps instead of tens
of thousands they lag behind, and the network scores with wrong ones ("precise BN"; Wu and Johnson,
"Rethinking 'Batch' in BatchNorm", 2021, section 3).
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

MAX_BATCHES = 200


def batch_norm_layers(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisation layers that keep statistics."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]


def recompute_bn_statistics(network: nn.Module, batches: Iterable[tuple[object, ...]]) -> None:
    """Replace running statistics by their plain mean over batches; the weights do not change.

    As ``torch.optim.swa_utils.update_bn``, but for ``forward`` with several arguments, and with
    everything else in evaluation mode: without masks and dropout, as the network scores.

    Parameters
    ----------
    network
        Left in evaluation mode.
    batches
        Arguments of its ``forward``.
    """
    layers = batch_norm_layers(network)
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # torch's setting for a plain mean
    try:
        with torch.no_grad():
            for batch in batches:
                network(*batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
