"""Pseudo-labels: clusters of the vectors that a frozen encoder gives to windows.

Machines whose attributes are hidden have a single class in each domain, from which a classifier
learns little. Fujimura et al. divide such classes by k-means (DCASE 2026 Task 2, arXiv 2608.00447).
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from asd_monitor.backends.kmeans import kmeans
from asd_offline.features.window_embeddings import BATCH, moved_to_gpu
from asd_offline.models.pretrained.pooling import PatchPooling

MIN_WINDOWS_PER_CLUSTER = 4


class EncoderClusters:
    """k-means of the mean patches of windows, each scaled to length 1.

    Parameters
    ----------
    front
        Sound ``(batch, samples)`` to patches ``(batch, time, bands, dims)``; not changed.
    clusters
        Maximum number of clusters; there are at least four windows for each.
    """

    def __init__(self, front: nn.Module, clusters: int) -> None:
        self._network = nn.Sequential(front, PatchPooling("mean", "pooled"))
        self._clusters = clusters

    def __call__(self, windows: Iterable[Tensor]) -> Tensor:
        """Return the cluster ``(windows,)`` int64 of each window ``(samples,)``."""
        vectors = self.embed(windows)
        clusters = min(self._clusters, len(vectors) // MIN_WINDOWS_PER_CLUSTER)
        if clusters < 2:
            return torch.zeros(len(vectors), dtype=torch.int64)
        nearest = torch.cdist(vectors, kmeans(vectors, clusters)).argmin(1)
        labels: Tensor = torch.unique(nearest, return_inverse=True)[1]  # without empty clusters
        return labels

    def embed(self, windows: Iterable[Tensor]) -> Tensor:
        """Return the vectors ``(windows, dims)`` of windows ``(samples,)``."""
        with moved_to_gpu(self._network), torch.no_grad():
            device = next(self._network.parameters()).device
            vectors = [
                self._network(torch.stack(batch).to(device)).flatten(1).cpu()
                for batch in _batches(windows)
            ]
        return torch.cat(vectors)


def _batches(windows: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    iterator = iter(windows)
    while batch := list(islice(iterator, BATCH)):
        yield batch
