"""The autoencoder baseline of DCASE Task 2, 2020 to 2022: what it rebuilds badly is anomalous.

Koizumi et al., "Description and discussion on DCASE2020 challenge task 2", DCASE Workshop 2020;
Kawaguchi et al. 2021 and Dohi et al. 2022 for the later years, which use the same network.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target, by_machine
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.models.autoencoder.cpu_step import DenseStep, cpu_has_bfloat16
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe


class AutoencoderRecipe(Recipe):
    """One network for each machine type, trained on all of its ids or sections."""

    model: Literal["autoencoder", "autoencoder_mahalanobis"] = "autoencoder"
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=8)
    frames: int = Field(5, ge=1, description="Spectrogram frames that make up one vector.")
    hidden: int = Field(128, ge=1)
    bottleneck: int = Field(8, ge=1)
    # Keras' BatchNormalization of the baseline: momentum 0.99 there is 0.01 here.
    batch_norm_momentum: float = Field(0.01, gt=0, le=1)
    batch_norm_eps: float = Field(1e-3, gt=0)
    start: Literal["keras", "torch"] = Field("keras", description="How weights are initialised.")
    cpu_bfloat16: bool = Field(
        True, description="Train in bfloat16 on a CPU that has AVX-512 BF16; false: in float32."
    )

    @property
    def min_window_samples(self) -> int:
        """Samples of one vector."""
        return max(self.n_fft, (self.frames - 1) * self.hop_length)

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)


class DenseAutoencoder(nn.Module):
    """Nine hidden layers with batch normalisation, the fifth narrow: 640 values in, 640 out."""

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.dims = recipe.n_mels * recipe.frames
        wide, narrow = recipe.hidden, recipe.bottleneck
        layers: list[nn.Module] = []
        before = self.dims
        for width in (wide, wide, wide, wide, narrow, wide, wide, wide, wide):
            layers += [
                nn.Linear(before, width),
                nn.BatchNorm1d(width, recipe.batch_norm_eps, recipe.batch_norm_momentum),
                nn.ReLU(inplace=True),
            ]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, self.dims))
        for layer in self.layers:
            if isinstance(layer, nn.Linear) and recipe.start == "keras":
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the rebuilt ``(vectors, dims)``."""
        rebuilt: Tensor = self.layers(vectors)
        return rebuilt

    def folded(self) -> nn.Sequential:
        """Return the same network for scoring, batch normalisation folded into the layers."""
        layers = list(self.layers.eval())
        folded: list[nn.Module] = []
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Linear) and isinstance(after, nn.BatchNorm1d):
                folded.append(fuse_linear_bn_eval(layer, after))
            elif not isinstance(layer, nn.BatchNorm1d):
                folded.append(layer)
        return nn.Sequential(*folded)


class ReconstructionLoss(nn.Module):
    """The autoencoder with its training loss, the mean squared error."""

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.autoencoder = DenseAutoencoder(recipe)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the loss of ``(vectors, dims)``."""
        rebuilt: Tensor = self.autoencoder(vectors)
        return nn.functional.mse_loss(rebuilt, vectors)


class FrameVectors:
    """Training samples: every run of ``frames`` consecutive spectrogram frames of every clip."""

    def __init__(
        self, clips: Sequence[Clip], recipe: AutoencoderRecipe, features: FeatureCache
    ) -> None:
        rows = features.rows([clip.path for clip in clips], recipe.log_mel())
        count, self.n_mels = rows.rows.shape
        # Consecutive rows lie one after the other, so a vector is a view: nothing is copied.
        self._vectors = rows.rows.as_strided(
            (count - recipe.frames + 1, recipe.frames * self.n_mels), (self.n_mels, 1)
        )
        pairs = zip(rows.first.tolist(), rows.count.tolist(), strict=True)
        spans = [torch.arange(first, first + count - recipe.frames + 1) for first, count in pairs]
        self._starts = torch.cat(spans)

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self._starts)

    def select(self, indices: Tensor) -> Tensor:
        """Return vectors ``(batch, frames * n_mels)``, the frames one after the other."""
        return self._vectors.index_select(0, self._starts[indices])  # faster than [...]


class AutoencoderTask:
    """Reconstruct all runs of frames of the targets' clips."""

    def __init__(
        self, targets: Sequence[Target], recipe: AutoencoderRecipe, features: FeatureCache
    ) -> None:
        self.network = ReconstructionLoss(recipe)
        self._bfloat16 = recipe.cpu_bfloat16
        self._vectors = FrameVectors(
            [clip for target in targets for clip in target.clips], recipe, features
        )

    @property
    def sample_count(self) -> int:
        """Number of vectors."""
        return len(self._vectors)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return vectors ``(batch, frames * n_mels)``."""
        del generator  # only the order is random
        return (self._vectors.select(indices),)

    def quick_step(self) -> DenseStep:
        """Return what computes loss and gradients by hand."""
        rounded = self._bfloat16 and cpu_has_bfloat16()
        return DenseStep(self.network, torch.bfloat16 if rounded else torch.float32)


class Residuals(nn.Module):
    """Waveform to what an autoencoder makes of it, minus what is there; one for each machine."""

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

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, vectors, dims)`` in dB of ``(batch, samples)``."""
        log_mel: Tensor = self.log_mel(waveform)  # (batch, frames, n_mels)
        vectors = log_mel.unfold(1, self.frames, 1).transpose(2, 3).flatten(2)
        if self.count == 1:  # saves copies: about a tenth of the time
            for autoencoder in self.autoencoders:
                rebuilt: Tensor = autoencoder(vectors.flatten(0, 1))
                return rebuilt.reshape(vectors.shape) - vectors
        residual = torch.zeros_like(vectors)
        network = self.network_of_target[target]
        for index, autoencoder in enumerate(self.autoencoders):
            rows = torch.nonzero(network == index).flatten()
            if rows.numel() > 0:
                chosen = vectors[rows]
                rebuilt = autoencoder(chosen.flatten(0, 1)).reshape(chosen.shape)
                residual[rows] = rebuilt - chosen
        return residual

    def describe(self) -> dict[str, object]:
        """Return what a model file should say of the evidence."""
        return {
            "evidence": "squared reconstruction error in dB^2",
            "evidence_bands": f"{self.log_mel.dims} mel bands",
            "evidence_hop_s": self.log_mel.settings.hop_length / self.log_mel.sample_rate_hz,
        }


def error_map(residual: Tensor, frames: int) -> Tensor:
    """Return squared errors ``(batch, n_mels, frames)`` of ``(batch, vectors, dims)``.

    Every frame is in up to ``frames`` vectors, whose errors are averaged.
    """
    batch, vectors, dims = residual.shape
    error = residual.square().reshape(batch, vectors, frames, dims // frames)
    count = vectors + frames - 1
    total = torch.zeros(batch, count, dims // frames, dtype=error.dtype, device=error.device)
    heard = torch.zeros(count, dtype=error.dtype, device=error.device)
    for place in range(frames):
        total[:, place : place + vectors] += error[:, :, place]
        heard[place : place + vectors] += 1.0
    return (total / heard[:, None]).transpose(1, 2)


class AutoencoderDetector(DetectorModule):
    """Waveform to mean squared reconstruction error."""

    def __init__(self, residuals: Residuals) -> None:
        super().__init__()
        self.residuals = residuals

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` in dB^2 of ``(batch, samples)``; higher = more anomalous."""
        residual: Tensor = self.residuals(waveform, target)
        return residual.square().mean((1, 2))

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, n_mels, frames)``: squared error in dB^2."""
        return error_map(self.residuals(waveform, target), self.residuals.frames)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say of the evidence."""
        return self.residuals.describe()


class Autoencoder(Model[AutoencoderRecipe, ReconstructionLoss]):
    """The baseline with its score, the mean squared error of a window."""

    recipe = AutoencoderRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network for each machine, for all of its ids or sections."""
        return by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: AutoencoderRecipe, features: FeatureCache
    ) -> AutoencoderTask:
        """Train on all runs of frames of all clips."""
        return AutoencoderTask(targets, recipe, features)

    def detector(
        self,
        networks: Mapping[str, ReconstructionLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: AutoencoderRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Nothing is fitted but the weights."""
        del features
        return AutoencoderDetector(residuals_of(networks, targets, recipe)).eval()


def residuals_of(
    networks: Mapping[str, ReconstructionLoss],
    targets: Mapping[str, Sequence[Target]],
    recipe: AutoencoderRecipe,
) -> Residuals:
    """Put trained autoencoders, made ready for scoring, behind one front end."""
    autoencoders = [network.autoencoder.folded() for network in networks.values()]
    network_of_target = [i for i, name in enumerate(networks) for _ in targets[name]]
    return Residuals(recipe, autoencoders, network_of_target)
