"""Published transformer, pooling and backends: the detector from waveform to score."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from asd_offline.models.pretrained.pooling import PatchScores
from asd_offline.models.protocol import DetectorModule


class WindowEmbedding(nn.Module):
    """Waveform to the pooled vectors of a window, each of length 1.

    Parameters
    ----------
    front
        Waveform to patches.
    head
        Patches ``(batch, time, bands, dims)`` to ``(batch, vectors, values)``.
    """

    def __init__(self, front: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.head = head

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, vectors, values)`` of windows."""
        vectors: Tensor = self.head(self.front(waveform))
        return vectors


class PretrainedDetector(DetectorModule):
    """Waveform to patches to scores, with backends for each target.

    Parameters
    ----------
    front
        Waveform to patches.
    scores
        Patches to a score for each pooled vector.
    facts
        For the model file's manifest.
    """

    def __init__(self, front: nn.Module, scores: PatchScores, facts: Mapping[str, object]) -> None:
        super().__init__()
        self.front = front
        self.patch_scores = scores
        self._facts = dict(facts)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of windows; higher = more anomalous.

        Windows are ``(batch, window_samples)``; with the far channel ``(batch, 2,
        window_samples)``.
        """
        scores: Tensor = self.patch_scores(self.front(waveform), target)
        return scores.mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, time)``: contribution of each time step of each band."""
        contributions: Tensor = self.patch_scores.contributions(self.front(waveform), target)
        return contributions

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        return dict(self._facts)
