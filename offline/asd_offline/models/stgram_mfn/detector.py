"""STgram-MFN's scores, and the detector from waveform to score."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget
from asd_offline.features.band_centres import group_centres_hz
from asd_offline.models.protocol import DetectorModule
from asd_offline.models.stgram_mfn.arcface import ArcFace
from asd_offline.models.stgram_mfn.network import StgramMfn

OCCLUDED_BANDS = 8
OCCLUDED_SPANS = 4


def negative_log_probability(logits: Tensor, label: Tensor) -> Tensor:
    """Compute the negative log probability ``(batch,)`` of the classes ``label`` ``(batch,)``.

    The cross-entropy, computed as ``log(1 + exp(others - label))``: for a confident network
    ``-log p`` is 1e-8 or 1e-15, which the difference of two logarithms near 30 would round to 0.

    Parameters
    ----------
    logits
        ``(batch, classes)``.
    label
        ``(batch,)`` int64.
    """
    label = label.unsqueeze(1)
    others = logits.scatter(1, label, float("-inf")).logsumexp(1)
    return F.softplus(others - logits.gather(1, label).squeeze(1))


class AngularLogProbability(nn.Module):
    """Negative log probability of the target's class, from cosines."""

    class_of_target: Tensor

    def __init__(self, head: ArcFace, class_of_target: Sequence[int], *, with_margin: bool) -> None:
        super().__init__()
        self.head = head
        self.margin = with_margin
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, dims)``; higher = more anomalous."""
        label = self.class_of_target[target]
        logits = self.head.with_margin(embedding, label) if self.margin else self.head(embedding)
        return negative_log_probability(logits, label)


class LinearLogProbability(nn.Module):
    """Negative log probability of the target's class, from a linear layer."""

    class_of_target: Tensor

    def __init__(self, classifier: nn.Module, class_of_target: Sequence[int]) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, dims)``; higher = more anomalous."""
        return negative_log_probability(self.classifier(embedding), self.class_of_target[target])


class NormalisedBackends(nn.Module):
    """One backend per target, applied to embeddings scaled to length one."""

    def __init__(self, backends: PerTarget) -> None:
        super().__init__()
        self.backends = backends

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, dims)``; higher = more anomalous."""
        scores: Tensor = self.backends(F.normalize(embedding, dim=1), target)
        return scores


class StgramDetector(DetectorModule):
    """Waveform to score.

    Parameters
    ----------
    network
        The trained network.
    scorer
        Embeddings ``(batch, dims)`` and targets ``(batch,)`` to scores ``(batch,)``.
    mean_spectrum
        ``(n_mels,)`` mean decibels of normal sound, for the evidence.
    facts
        For the model file's manifest.
    """

    mean_spectrum: Tensor

    def __init__(
        self,
        network: StgramMfn,
        scorer: nn.Module,
        mean_spectrum: Tensor,
        facts: Mapping[str, object],
    ) -> None:
        super().__init__()
        self.bands = OCCLUDED_BANDS
        self.spans = OCCLUDED_SPANS
        self.log_mel = network.log_mel
        self.tgram = network.tgram
        self.network = network.network
        self.scorer = scorer
        self.facts = facts
        self.register_buffer("mean_spectrum", mean_spectrum)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        return self._score(self.log_mel(waveform).transpose(1, 2), self.tgram(waveform), target)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, spans)``: decrease of the score when each part is occluded.

        A part of the log-mel spectrogram is replaced by the mean of its bands over normal sound;
        the learned spectrogram stays as it is.
        """
        sgram = self.log_mel(waveform).transpose(1, 2)  # (batch, n_mels, frames)
        tgram = self.tgram(waveform)
        score = self._score(sgram, tgram, target)
        batch, mels, frames = sgram.shape
        decrease = torch.zeros(batch, self.bands, self.spans, device=waveform.device)
        for band in range(self.bands):
            low, high = band * mels // self.bands, (band + 1) * mels // self.bands
            for span in range(self.spans):
                first, end = span * frames // self.spans, (span + 1) * frames // self.spans
                occluded = sgram.clone()
                occluded[:, low:high, first:end] = self.mean_spectrum[low:high].unsqueeze(1)
                decrease[:, band, span] = score - self._score(occluded, tgram, target)
        return decrease

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        bands_hz = group_centres_hz(self.log_mel.settings, self.bands)
        return {**self.facts, "evidence_bands_hz": bands_hz}

    def _score(self, sgram: Tensor, tgram: Tensor, target: Tensor) -> Tensor:
        embedding = self.network(torch.stack([sgram, tgram], dim=1))
        scores: Tensor = self.scorer(embedding, target)
        return scores
