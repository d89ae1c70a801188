"""The autoencoder baselines of DCASE Task 2: what is reconstructed badly is anomalous.

Koizumi et al., "Description and discussion on DCASE2020 challenge task 2", DCASE Workshop 2020,
with the mean squared error as score; Kawaguchi et al. 2021 and Dohi et al. 2022 use the same
network. Harada et al., "First-shot anomaly sound detection for machine condition monitoring: a
domain generalization baseline", EUSIPCO 2023, with the selective Mahalanobis score.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from asd_monitor.backends.per_target import PerTarget
from asd_monitor.backends.selective_mahalanobis import SelectiveMahalanobis
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import FeatureCache
from asd_offline.models.autoencoder.detector import (
    AutoencoderDetector,
    MeanResidualMahalanobis,
    MeanSquaredError,
    Residuals,
)
from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderMahalanobisRecipe, AutoencoderRecipe
from asd_offline.models.protocol import DetectorModule, Model

BATCH = 8192

RecipeT = TypeVar("RecipeT", bound=AutoencoderRecipe)
FitScore = Callable[[Residuals, Sequence[Target], RecipeT, FeatureCache], nn.Module]
"""Returns the module from residuals and targets to scores."""


class FrameVectors:
    """Every run of ``frames`` consecutive spectrogram frames of every clip, as vectors."""

    def __init__(
        self, clips: Sequence[Clip], recipe: AutoencoderRecipe, features: FeatureCache
    ) -> None:
        cached = features.rows([clip.path for clip in clips], recipe.log_mel())
        self.n_mels = cached.rows.shape[1]
        self._frames = recipe.frames
        self._rows, self._vectors = cached.rows, self._view(cached.rows)
        pairs = zip(cached.first.tolist(), cached.count.tolist(), strict=True)
        spans = [torch.arange(first, first + count - recipe.frames + 1) for first, count in pairs]
        self._starts = torch.cat(spans)

    def _view(self, rows: Tensor) -> Tensor:
        """Return all vectors; consecutive rows lie one after the other, so nothing is copied."""
        shape = (len(rows) - self._frames + 1, self._frames * self.n_mels)
        return rows.as_strided(shape, (self.n_mels, 1))

    @property
    def sample_bytes(self) -> int:
        """Memory of the spectrograms."""
        return self._rows.nbytes

    def move(self, device: torch.device) -> None:
        """Move the spectrograms; :meth:`select` then takes indices of that device."""
        self._rows, self._starts = self._rows.to(device), self._starts.to(device)
        self._vectors = self._view(self._rows)

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self._starts)

    def select(self, indices: Tensor) -> Tensor:
        """Return vectors ``(batch, frames * n_mels)``, the frames one after the other."""
        return self._vectors.index_select(0, self._starts[indices])  # faster than [...]


class AutoencoderTask:
    """Reconstruct all vectors of the targets' clips."""

    def __init__(
        self, targets: Sequence[Target], recipe: AutoencoderRecipe, features: FeatureCache
    ) -> None:
        self.network = ReconstructionLoss(recipe)
        clips = [clip for target in targets for clip in target.clips]
        self._vectors = FrameVectors(clips, recipe, features)

    @property
    def sample_count(self) -> int:
        """Number of vectors."""
        return len(self._vectors)

    @property
    def sample_bytes(self) -> int:
        """Memory of the spectrograms."""
        return self._vectors.sample_bytes

    def move_samples(self, device: torch.device) -> None:
        """Move the spectrograms."""
        self._vectors.move(device)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return vectors ``(batch, frames * n_mels)``."""
        del generator  # only the order is random
        return (self._vectors.select(indices),)


class AutoencoderModel(Model[RecipeT, ReconstructionLoss]):
    """One network for each machine, for all of its ids or sections.

    Parameters
    ----------
    recipe
        The class of its recipes.
    fit_score
        Fits the score of residuals.
    """

    def __init__(self, recipe: type[RecipeT], fit_score: FitScore[RecipeT]) -> None:
        self.recipe = recipe
        self._fit_score = fit_score

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to each machine."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: RecipeT, features: FeatureCache
    ) -> AutoencoderTask:
        """Prepare training on all vectors of all clips."""
        return AutoencoderTask(targets, recipe, features)

    def detector(
        self,
        networks: Mapping[str, ReconstructionLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: RecipeT,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the score."""
        residuals = Residuals.of_networks(networks, targets, recipe)
        ordered = [target for name in networks for target in targets[name]]
        score = self._fit_score(residuals, ordered, recipe, features)
        return AutoencoderDetector(residuals, score).eval()


def use_mean_squared_error(
    residuals: Residuals,
    targets: Sequence[Target],
    recipe: AutoencoderRecipe,
    features: FeatureCache,
) -> MeanSquaredError:
    """Return the score of 2020 to 2022, which needs no fit."""
    del residuals, targets, recipe, features
    return MeanSquaredError()


def fit_mahalanobis(
    residuals: Residuals,
    targets: Sequence[Target],
    recipe: AutoencoderMahalanobisRecipe,
    features: FeatureCache,
) -> MeanResidualMahalanobis:
    """Fit the score of 2023: a covariance of residual frames for each target and domain."""
    backends: list[nn.Module] = []
    for index, target in enumerate(targets):
        autoencoder = residuals.autoencoders[int(residuals.network_of_target[index])]
        precisions = []
        for is_target_domain in (False, True):
            clips = [c for c in target.clips if (c.domain == "target") == is_target_domain]
            if clips:
                covariance = _covariance(autoencoder, FrameVectors(clips, recipe, features))
                ridge = recipe.reg_covar * torch.eye(recipe.n_mels)
                precisions.append(torch.linalg.inv(covariance + ridge))
        precision = torch.stack(precisions).float()
        mean = torch.zeros(len(precision), recipe.n_mels)
        backends.append(SelectiveMahalanobis(mean, precision))
    return MeanResidualMahalanobis(recipe.frames, PerTarget(backends))


def _covariance(autoencoder: nn.Module, vectors: FrameVectors) -> Tensor:
    """Return the covariance ``(n_mels, n_mels)`` of residual frames, in one pass."""
    device = next(autoencoder.parameters()).device
    count, total, squares = 0, torch.zeros(1), torch.zeros(1)
    with torch.no_grad():
        for indices in torch.split(torch.arange(len(vectors)), BATCH):
            inputs = vectors.select(indices).to(device)
            frames = (autoencoder(inputs) - inputs).reshape(-1, vectors.n_mels).double().cpu()
            count += len(frames)
            total = total + frames.sum(0)
            squares = squares + frames.t() @ frames
    mean = total / count
    covariance: Tensor = (squares / count - torch.outer(mean, mean)).float()
    return covariance
