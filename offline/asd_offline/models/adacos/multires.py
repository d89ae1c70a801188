"""The spectrum and spectrograms of several resolutions, each branch made to be informative.

The branches are those of :mod:`~asd_offline.models.adacos.spectral`, the spectrograms at short,
middle and long windows (Wilkinghoff, DCASE 2024 Task 2; re-evaluated by Fujimura et al., "ASDKit",
arXiv 2507.10264), with a loss for each branch beside that of all together (subspace loss).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.models.adacos.branches import Branches, SpectrogramBranch, SpectrumBranch
from asd_offline.models.adacos.spectral import (
    NETWORK,
    EmbeddingRecipe,
    EmbeddingTask,
    Ensemble,
    embedding_detector,
    embedding_task,
)
from asd_offline.models.protocol import DetectorModule, Model


class MultiresAdacosRecipe(EmbeddingRecipe):
    """Four branches, 5.07 million weights with windows of 10 s at 16 kHz."""

    model: Literal["multires_adacos"] = "multires_adacos"
    resolutions: tuple[tuple[int, int], ...] = Field(
        ((256, 128), (1024, 512), (4096, 2048)),
        min_length=1,
        description="n_fft and hop_length of each spectrogram.",
    )
    feature_exchange: bool = False
    subspace: bool = True

    @property
    def min_window_samples(self) -> int:
        """Samples of five frames, of which convolution and pooling leave one."""
        return max(n_fft + 4 * hop for n_fft, hop in self.resolutions)

    def branches(self) -> Branches:
        """Return the network."""
        dims = self.embedding_dims
        spectrograms = [
            SpectrogramBranch(n_fft, hop, subtract_mean=False, dims=dims, pool_padding=0)
            for n_fft, hop in self.resolutions
        ]
        return Branches([SpectrumBranch(self.window_samples, dims), *spectrograms])


class MultiresAdacos(Model[MultiresAdacosRecipe, Ensemble]):
    """One network, or several of different seeds, for all machines; a bank for each target."""

    recipe = MultiresAdacosRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network learns to tell all machines apart."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: MultiresAdacosRecipe, features: FeatureCache
    ) -> EmbeddingTask:
        """Train on windows of all clips."""
        members = [recipe.branches() for _ in range(recipe.ensemble)]
        return embedding_task(members, targets, recipe, features)

    def detector(
        self,
        networks: Mapping[str, Ensemble],
        targets: Mapping[str, Sequence[Target]],
        recipe: MultiresAdacosRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit a bank for each target."""
        return embedding_detector(networks[NETWORK], targets[NETWORK], recipe, features)
