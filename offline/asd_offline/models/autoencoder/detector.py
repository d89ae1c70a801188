"""The autoencoder's detector: waveform to reconstruction error to score."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.band_centres import band_centres_hz
from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe
from asd_offline.models.protocol import DetectorModule


class Residuals(nn.Module):
    """Waveform to reconstruction minus input, with one autoencoder for each machine."""

    network_of_target: Tensor

    def __init__(
        self,
        recipe: AutoencoderRecipe,
        autoencoders: Sequence[nn.Module],
        network_of_target: Sequence[int],
    ) -> None:
        super().__init__()
        self.frames = recipe.frames
        self.log_mel = recipe.log_mel()
        self.autoencoders = nn.ModuleList(autoencoders)
        self.count = len(autoencoders)
        self.register_buffer("network_of_target", torch.tensor(network_of_target))

    @classmethod
    def of_networks(
        cls,
        networks: Mapping[str, ReconstructionLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: AutoencoderRecipe,
    ) -> "Residuals":
        """Combine trained networks, folded for scoring."""
        autoencoders = [network.autoencoder.folded() for network in networks.values()]
        network_of_target = [i for i, name in enumerate(networks) for _ in targets[name]]
        return cls(recipe, autoencoders, network_of_target)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, vectors, dims)`` in dB of ``(batch, samples)``."""
        log_mel: Tensor = self.log_mel(waveform)  # (batch, frames, n_mels)
        vectors = log_mel.unfold(1, self.frames, 1).transpose(2, 3).flatten(2)
        if self.count == 1:  # saves copies: about a tenth of the time
            for autoencoder in self.autoencoders:
                reconstruction: Tensor = autoencoder(vectors.flatten(0, 1))
                return reconstruction.reshape(vectors.shape) - vectors
        residual = torch.zeros_like(vectors)
        network = self.network_of_target[target]
        for index, autoencoder in enumerate(self.autoencoders):
            rows = torch.nonzero(network == index).flatten()
            if rows.numel() > 0:
                inputs = vectors[rows]
                outputs = autoencoder(inputs.flatten(0, 1)).reshape(inputs.shape)
                residual[rows] = outputs - inputs
        return residual


def error_map(residual: Tensor, frames: int) -> Tensor:
    """Return squared errors ``(batch, n_mels, frames)`` of ``(batch, vectors, dims)``.

    Every spectrogram frame is in up to ``frames`` vectors, whose errors are averaged.
    """
    batch, vectors, dims = residual.shape
    error = residual.square().reshape(batch, vectors, frames, dims // frames)
    length = vectors + frames - 1
    total = torch.zeros(batch, length, dims // frames, dtype=error.dtype, device=error.device)
    count = torch.zeros(length, dtype=error.dtype, device=error.device)
    for offset in range(frames):
        total[:, offset : offset + vectors] += error[:, :, offset]
        count[offset : offset + vectors] += 1.0
    return (total / count[:, None]).transpose(1, 2)


class MeanSquaredError(nn.Module):
    """Mean squared residual."""

    def forward(self, residual: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` in dB^2 of ``(batch, vectors, dims)``."""
        return residual.square().mean((1, 2))


class MeanResidualMahalanobis(nn.Module):
    """Mahalanobis norm of the mean residual frame.

    The published code averages ``d_i' P d_j`` over all pairs of residual frames, which equals
    ``m' P m`` with their mean ``m`` and needs no matrix of all pairs.
    """

    def __init__(self, frames: int, backend: PerTarget) -> None:
        super().__init__()
        self.frames = frames
        self.backend = backend

    def forward(self, residual: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, vectors, dims)``."""
        batch, vectors, dims = residual.shape
        frames = residual.reshape(batch, vectors * self.frames, dims // self.frames)
        scores: Tensor = self.backend(frames.mean(1), target)
        return scores


class AutoencoderDetector(DetectorModule):
    """Waveform to a score of the reconstruction error."""

    def __init__(self, residuals: Residuals, score: nn.Module) -> None:
        super().__init__()
        self.residuals = residuals
        self.score = score

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        scores: Tensor = self.score(self.residuals(waveform, target), target)
        return scores

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, n_mels, frames)``: squared error in dB^2."""
        return error_map(self.residuals(waveform, target), self.residuals.frames)

    def describe(self) -> dict[str, object]:
        """Return units and axes of the evidence."""
        log_mel = self.residuals.log_mel
        return {
            "evidence": "squared reconstruction error in dB^2",
            "evidence_bands": f"{log_mel.dims} mel bands",
            "evidence_bands_hz": band_centres_hz(log_mel.settings),
            "evidence_hop_s": log_mel.settings.hop_length / log_mel.sample_rate_hz,
        }
