"""Spectrum and spectrogram branches trained with sub-cluster AdaCos: the default for deployment.

Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
generalization in anomalous sound detection", ICASSP 2023, and neighbours normalised by local
density ("Local density-based anomaly score normalization for domain generalization",
arXiv 2509.10951).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.features.labelled_windows import LabelledWindows, classifier_clips, tile
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.detector import EmbeddingDetector
from asd_offline.models.adacos.fused_detector import fit_fused_detector
from asd_offline.models.adacos.losses import mixup, sample_exchange
from asd_offline.models.adacos.network import EmbeddingNetwork, Ensemble
from asd_offline.models.adacos.recipe import AdacosRecipe
from asd_offline.models.backend_choice import fit_target_backend
from asd_offline.models.bank import evenly_spaced
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

NETWORK = "all"
MAX_BANK_WINDOWS = 2000
BATCH = 16


class AdacosTask:
    """Training samples: windows of all machines, mixed, with their labels."""

    def __init__(self, windows: LabelledWindows, recipe: AdacosRecipe) -> None:
        # All branches first, then all losses: the order of random initialisation.
        members = [recipe.branches() for _ in range(recipe.ensemble)]
        self.network = Ensemble(
            [EmbeddingNetwork(branches, recipe, windows.classes) for branches in members]
        )
        self._windows = windows
        self._recipe = recipe
        self._branches = len(members[0].branches)

    @property
    def sample_count(self) -> int:
        """Number of windows in an epoch."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return the arguments of :meth:`EmbeddingNetwork.forward`."""
        windows, labels = self._windows.draw(indices, generator)
        windows, labels = mixup(windows, labels, self._recipe.mixup_probability, generator)
        probability = self._recipe.exchange_probability
        exchange = sample_exchange(len(indices), self._branches, probability, generator)
        return windows, labels, exchange.exchanged, exchange.order


class AdacosModel(Model[AdacosRecipe, Ensemble]):
    """One network, or an ensemble, for all machines; backends for each target.

    Parameters
    ----------
    recipe
        Which branches the network has.
    """

    def __init__(self, recipe: type[AdacosRecipe]) -> None:
        self.recipe = recipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to all targets; it learns to distinguish them."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: AdacosRecipe, features: FeatureCache
    ) -> AdacosTask:
        """Prepare training on windows of all clips."""
        clips = classifier_clips(targets, supplemental=recipe.supplemental_classes)
        windows = LabelledWindows(
            clips, features, recipe.sample_rate_hz, recipe.window_samples, recipe.pseudo_classes
        )
        return AdacosTask(windows, recipe)

    def detector(
        self,
        networks: Mapping[str, Ensemble],
        targets: Mapping[str, Sequence[Target]],
        recipe: AdacosRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the backends of each target, for embedding and feature groups or embedding only."""
        members = [branches.eval() for branches in networks[NETWORK].branches]
        chosen = targets[NETWORK]
        if recipe.feature_groups:
            return fit_fused_detector(members, chosen, recipe, features, fine=recipe.fine_features)
        backends = [fit_backends(branches, chosen, recipe, features) for branches in members]
        return EmbeddingDetector(members, backends).eval()


def fit_backends(
    branches: Branches, targets: Sequence[Target], recipe: AdacosRecipe, features: FeatureCache
) -> PerTarget:
    """Fit the recipe's backend on the embeddings of each target's clips.

    Raises
    ------
    DatasetError
        If a target has too few clips for it.
    """
    front_end = Waveform(recipe.sample_rate_hz)
    backends = []
    for target in targets:
        clips = features.rows([clip.path for clip in target.clips], front_end)
        embeddings, groups = _embed(branches, clips, recipe)
        backends.append(fit_target_backend(recipe, target, embeddings, groups))
    return PerTarget(backends)


def _embed(branches: Branches, clips: ClipRows, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return unit vectors ``(windows, dims)``, and the clip index ``(windows,)`` of each."""
    samples, hop = recipe.window_samples, recipe.hop_samples
    positions = [
        (clip, start)
        for clip, count in enumerate(clips.count.tolist())
        for start in range(0, max(count - samples, 0) + 1, hop)
    ]
    chosen = evenly_spaced(len(positions), MAX_BANK_WINDOWS)
    positions = [positions[i] for i in chosen.tolist()]
    device = next(branches.parameters()).device
    parts = []
    for first in range(0, len(positions), BATCH):
        windows = [
            tile(clips.of(clip).squeeze(1), samples)[start : start + samples]
            for clip, start in positions[first : first + BATCH]
        ]
        with torch.no_grad():
            embedding = torch.cat(branches(torch.stack(windows).to(device)), dim=1)
        parts.append(F.normalize(embedding, dim=1).cpu())
    return torch.cat(parts), torch.tensor([clip for clip, _ in positions])
