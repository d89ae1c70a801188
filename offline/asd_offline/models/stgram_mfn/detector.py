"""STgram-MFN's scores, and the whole path from waveform to score."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget
from asd_offline.features.mel import group_centres_hz
from asd_offline.models.stgram_mfn.arcface import ArcFace

if TYPE_CHECKING:
    from asd_offline.models.stgram_mfn.method import StgramMfn

OCCLUDED_BANDS = 8
OCCLUDED_SPANS = 4


def surprise(logits: Tensor, own: Tensor) -> Tensor:
    """Return the negative log probability ``(batch,)`` of the classes ``own`` ``(batch,)``.

    The cross-entropy, by ``log(1 + exp(others - own))``: of a network that is sure, ``-log p`` is
    1e-8 or 1e-15, and the difference of two logarithms near 30 would be 0 for all of them alike.
    """
    own = own.unsqueeze(1)
    others = logits.scatter(1, own, float("-inf")).logsumexp(1)
    return F.softplus(others - logits.gather(1, own).squeeze(1))


class AngularLogProbability(nn.Module):
    """Negative log probability of the class that the sound should be, from cosines."""

    class_of_target: Tensor

    def __init__(self, head: ArcFace, class_of_target: Sequence[int], *, with_margin: bool) -> None:
        super().__init__()
        self.head = head
        self.margin = with_margin
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``; higher = more anomalous."""
        own = self.class_of_target[target]
        logits = self.head.with_margin(embedding, own) if self.margin else self.head(embedding)
        return surprise(logits, own)


class LinearLogProbability(nn.Module):
    """Negative log probability of the class that the sound should be, from a linear layer."""

    class_of_target: Tensor

    def __init__(self, classifier: nn.Module, class_of_target: Sequence[int]) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``; higher = more anomalous."""
        own = self.class_of_target[target]
        return surprise(self.classifier(embedding), own)


class UnitBanks(nn.Module):
    """Back ends of each target on embeddings of length one."""

    def __init__(self, banks: PerTarget) -> None:
        super().__init__()
        self.banks = banks

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``; higher = more anomalous."""
        scores: Tensor = self.banks(F.normalize(embedding, dim=1), target)
        return scores


class StgramDetector(nn.Module):
    """Waveform to score, by whichever of the scores was chosen."""

    usual: Tensor

    def __init__(
        self, network: "StgramMfn", scorer: nn.Module, usual: Tensor, facts: Mapping[str, object]
    ) -> None:
        super().__init__()
        self.bands = OCCLUDED_BANDS
        self.spans = OCCLUDED_SPANS
        self.log_mel = network.log_mel
        self.tgram = network.tgram
        self.network = network.network
        self.scorer = scorer
        self.facts = facts
        self.register_buffer("usual", usual)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        return self._score(self.log_mel(waveform).transpose(1, 2), self.tgram(waveform), target)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, spans)``: by how much the score falls without each part.

        A part of the log-mel spectrogram is replaced by what is usual in its bands; the learned
        spectrogram stays.
        """
        sgram = self.log_mel(waveform).transpose(1, 2)  # (batch, n_mels, frames)
        tgram = self.tgram(waveform)
        whole = self._score(sgram, tgram, target)
        bands, spans = self.bands, self.spans
        falls = torch.zeros(waveform.shape[0], bands, spans, device=waveform.device)
        mels, frames = sgram.shape[1], sgram.shape[2]
        for band in range(bands):
            low, high = band * mels // bands, (band + 1) * mels // bands
            for span in range(spans):
                first, end = span * frames // spans, (span + 1) * frames // spans
                hidden = sgram.clone()
                hidden[:, low:high, first:end] = self.usual[low:high].unsqueeze(1)
                falls[:, band, span] = whole - self._score(hidden, tgram, target)
        return falls

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say."""
        bands_hz = group_centres_hz(self.log_mel.settings, self.bands)
        return {**self.facts, "evidence_bands_hz": bands_hz}

    def _score(self, sgram: Tensor, tgram: Tensor, target: Tensor) -> Tensor:
        embedding = self.network(torch.stack([sgram, tgram], dim=1))
        scores: Tensor = self.scorer(embedding, target)
        return scores
