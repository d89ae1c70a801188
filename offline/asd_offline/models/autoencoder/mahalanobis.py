"""The baseline of DCASE 2023: the autoencoder, and whose covariance its errors fit better.

Harada et al., "First-shot anomaly sound detection for machine condition monitoring: a domain
generalization baseline", EUSIPCO 2023.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from asd_monitor.backends.per_target import PerTarget
from asd_monitor.backends.selective_mahalanobis import SelectiveMahalanobis
from asd_offline.datasets.targets import Target, by_machine
from asd_offline.features.cache import FeatureCache
from asd_offline.models.autoencoder.mse import (
    AutoencoderRecipe,
    AutoencoderTask,
    FrameVectors,
    ReconstructionLoss,
    Residuals,
    error_map,
    residuals_of,
)
from asd_offline.models.protocol import DetectorModule, Model

BLOCK = 8192


class AutoencoderMahalanobisRecipe(AutoencoderRecipe):
    """As the autoencoder's, but for the batch, the start of the weights and the precision."""

    model: Literal["autoencoder_mahalanobis"] = "autoencoder_mahalanobis"
    batch_size: int = Field(256, ge=2)
    start: Literal["keras", "torch"] = "torch"
    # Rounded, the score was worse on made-up valves.
    cpu_bfloat16: bool = Field(
        False, description="Train in bfloat16 on a CPU that has AVX-512 BF16; false: in float32."
    )
    least_variance: float = Field(1e-6, gt=0, description="In dB^2, added to every variance.")


class MahalanobisDetector(DetectorModule):
    """Waveform to the Mahalanobis norm of its mean residual.

    The published code averages ``d_i' P d_j`` over all pairs of residual frames; that is
    ``m' P m`` with their mean ``m``, for which no matrix of all pairs is needed.
    """

    def __init__(self, residuals: Residuals, backend: PerTarget) -> None:
        super().__init__()
        self.residuals = residuals
        self.backend = backend

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        residual: Tensor = self.residuals(waveform, target)
        batch, vectors, dims = residual.shape
        frames = self.residuals.frames
        mean = residual.reshape(batch, vectors * frames, dims // frames).mean(1)
        scores: Tensor = self.backend(mean, target)
        return scores

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, n_mels, frames)``: squared error in dB^2."""
        return error_map(self.residuals(waveform, target), self.residuals.frames)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say of the evidence."""
        return self.residuals.describe()


class AutoencoderMahalanobis(Model[AutoencoderMahalanobisRecipe, ReconstructionLoss]):
    """The autoencoder with the selective Mahalanobis score."""

    recipe = AutoencoderMahalanobisRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network for each machine."""
        return by_machine(targets)

    def task(
        self,
        targets: Sequence[Target],
        recipe: AutoencoderMahalanobisRecipe,
        features: FeatureCache,
    ) -> AutoencoderTask:
        """Train on all runs of frames of all clips."""
        return AutoencoderTask(targets, recipe, features)

    def detector(
        self,
        networks: Mapping[str, ReconstructionLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: AutoencoderMahalanobisRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the covariances of each target's residual frames, one for each domain."""
        residuals = residuals_of(networks, targets, recipe)
        backends = [
            _fit(residuals.autoencoders[place], target, recipe, features)
            for place, name in enumerate(networks)
            for target in targets[name]
        ]
        return MahalanobisDetector(residuals, PerTarget(backends)).eval()


def _fit(
    autoencoder: nn.Module,
    target: Target,
    recipe: AutoencoderMahalanobisRecipe,
    features: FeatureCache,
) -> SelectiveMahalanobis:
    precisions = []
    for domain_is_target in (False, True):
        clips = [c for c in target.clips if (c.domain == "target") == domain_is_target]
        if clips:
            covariance = _covariance(autoencoder, FrameVectors(clips, recipe, features))
            ridge = recipe.least_variance * torch.eye(recipe.n_mels)
            precisions.append(torch.linalg.inv(covariance + ridge))
    precision = torch.stack(precisions).float()
    return SelectiveMahalanobis(torch.zeros(len(precision), recipe.n_mels), precision)


def _covariance(autoencoder: nn.Module, vectors: FrameVectors) -> Tensor:
    """Return the covariance ``(n_mels, n_mels)`` of residual frames, in one pass."""
    device = next(autoencoder.parameters()).device
    count, total, squares = 0, torch.zeros(1), torch.zeros(1)
    with torch.no_grad():
        for indices in torch.split(torch.arange(len(vectors)), BLOCK):
            block = vectors.select(indices).to(device)
            frames = (autoencoder(block) - block).reshape(-1, vectors.n_mels).double().cpu()
            count += len(frames)
            total = total + frames.sum(0)
            squares = squares + frames.t() @ frames
    mean = total / count
    covariance: Tensor = (squares / count - torch.outer(mean, mean)).float()
    return covariance
