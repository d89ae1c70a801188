"""Embedding and backends: the published detector from waveform to score."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.protocol import DetectorModule


class EmbeddingDetector(DetectorModule):
    """Waveform to embeddings to scores, averaged over the networks of an ensemble.

    Parameters
    ----------
    members
        Trained networks.
    backends
        For each of them, a backend per target.
    """

    def __init__(self, members: Sequence[Branches], backends: Sequence[PerTarget]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.backends = nn.ModuleList(backends)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores = waveform.new_zeros(waveform.shape[0])
        for member, backends in zip(self.members, self.backends):  # noqa: B905 - TorchScript has no strict
            embedding = F.normalize(torch.cat(member(waveform), dim=1), dim=1)
            scores = scores + backends(embedding, target)
        return scores / len(self.members)
