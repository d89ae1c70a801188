"""STgram-MFN: a log-mel spectrogram and a learned one, stacked as two channels of an image.

Liu et al., "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
The published network is tied to 10 s; here its sizes follow from the window, and are the same at
10 s. The authors' layer that classifies without a margin is omitted where the margin is used,
because it is never trained.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.stgram_mfn.arcface import ArcFace, noisy_arcmix
from asd_offline.models.stgram_mfn.mobilefacenet import MobileFaceNet
from asd_offline.models.stgram_mfn.recipe import StgramMfnRecipe


class Tgram(nn.Module):
    """A learned spectrogram: ``(batch, samples)`` to ``(batch, bands, frames)``.

    Layer normalisation runs over time, as published.
    """

    def __init__(self, bands: int, n_fft: int, hop_length: int, frames: int) -> None:
        super().__init__()
        self.extractor = nn.Conv1d(1, bands, n_fft, hop_length, n_fft // 2, bias=False)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [
                nn.LayerNorm(frames),
                nn.LeakyReLU(0.2),
                nn.Conv1d(bands, bands, 3, 1, 1, bias=False),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)`` of ``(batch, samples)``."""
        tgram: Tensor = self.layers(self.extractor(waveform.unsqueeze(1)))
        return tgram


class StgramMfn(nn.Module):
    """Waveforms to embeddings, and the classification loss.

    Parameters
    ----------
    recipe
        Sizes of the network and the loss.
    class_names
        Names of the classes, in the order of the labels.
    """

    def __init__(self, recipe: StgramMfnRecipe, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        frames = recipe.window_samples // recipe.hop_length + 1
        by_cross_entropy = recipe.loss == "cross_entropy"
        classes = len(self.class_names)
        self.log_mel = recipe.log_mel()
        self.tgram = Tgram(recipe.n_mels, recipe.n_fft, recipe.hop_length, frames)
        self.network = MobileFaceNet(
            recipe.n_mels,
            frames,
            dims=recipe.embedding_dims,
            classes=classes if by_cross_entropy else 0,
            depth=recipe.depth,
        )
        dims, centres = recipe.embedding_dims, recipe.sub_centres
        self.head = (
            None
            if by_cross_entropy
            else ArcFace(dims, classes, centres, recipe.margin, recipe.scale)
        )

    def sgram(self, waveform: Tensor) -> Tensor:
        """Return decibels ``(batch, n_mels, frames)`` of ``(batch, samples)``."""
        decibels: Tensor = self.log_mel(waveform)
        return decibels.transpose(1, 2)

    def embed(self, sgram: Tensor, tgram: Tensor) -> Tensor:
        """Return embeddings ``(batch, dims)`` of two images ``(batch, n_mels, frames)``."""
        embedding: Tensor = self.network(torch.stack([sgram, tgram], dim=1))
        return embedding

    def forward(
        self,
        waveform: Tensor,
        label: Tensor,
        partner: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)``.
        label
            ``(batch,)`` int64: class of each row.
        partner
            ``(batch,)`` int64: the row that each row is mixed with; noisy_arcmix only.
        weight
            Weight of the row itself in its mixture, a scalar.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            sgram = self.sgram(waveform)
        if partner is not None and weight is not None:
            waveform = weight * waveform + (1.0 - weight) * waveform[partner]
            sgram = weight * sgram + (1.0 - weight) * sgram[partner]
        embedding = self.embed(sgram, self.tgram(waveform))
        with torch.autocast(waveform.device.type, enabled=False):
            return self._loss(embedding.float(), label, partner, weight)

    def _loss(
        self, embedding: Tensor, label: Tensor, partner: Tensor | None, weight: Tensor | None
    ) -> Tensor:
        if self.head is None:
            return F.cross_entropy(self.network.logits(embedding), label)
        logits = self.head.with_margin(embedding, label)
        if partner is None or weight is None:
            return F.cross_entropy(logits, label)
        return noisy_arcmix(logits, label, label[partner], weight)
