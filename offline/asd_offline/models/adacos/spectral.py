"""Spectrum and spectrogram branches trained with sub-cluster AdaCos: the default for deployment.

Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
generalization in anomalous sound detection", ICASSP 2023; with trainable centres, mixup and
feature exchange ("Self-supervised learning for anomalous sound detection", arXiv 2312.09578), and
neighbours normalised by local density ("Local density-based anomaly score normalization for
domain generalization", arXiv 2509.10951).
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.fusion import Rule
from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.features.labelled_windows import LabelledWindows, tile
from asd_offline.models.adacos.branches import Branches, SpectrogramBranch, SpectrumBranch
from asd_offline.models.adacos.fused_detector import fit_beside
from asd_offline.models.adacos.losses import EmbeddingLoss, Exchange, draw_exchange, mixup
from asd_offline.models.backend_choice import (
    BackendSpec,
    check_backend_settings,
    fit_target_backend,
)
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

NETWORK = "all"
BANK_AT_MOST = 2000
BATCH = 16


class EmbeddingRecipe(Recipe):
    """What the discriminative models share: one network for all machines."""

    epochs: int = Field(16, ge=0, le=100_000)
    batch_size: int = Field(64, ge=2)
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = Field(1e-5, ge=0)
    embedding_dims: int = Field(128, ge=2, description="Of each branch.")
    sub_clusters: int = Field(16, ge=1)
    trainable_centres: bool = True
    dynamic_scale: bool = False
    mixup_probability: float = Field(0.5, ge=0, le=1)
    feature_exchange: bool = True
    exchange_probability: float = Field(0.5, ge=0, le=1)
    subspace: bool = False
    pseudo_classes: bool | None = Field(
        None, description="Clusters and alterations as classes; None: below four classes."
    )
    views: bool = Field(
        True, description="The quick start's views beside the embedding; False: as published."
    )
    finer_views: bool = Field(True, description="With the views, finer and steady ones.")
    ensemble: int = Field(
        1, ge=1, le=16, description="So many networks, each from a start of its own, in one file."
    )
    backend: BackendSpec = Field(
        "density_neighbours",
        description="Of the embedding, where there are no views; several: put together.",
    )
    neighbours: int | None = Field(None, ge=1, description="None: what the back end is known for.")
    fusion: Rule | None = Field(None, description="Of several back ends; None: the least score.")

    @model_validator(mode="after")
    def _check_backend(self) -> Self:
        check_backend_settings(self)
        chosen = self.backend != "density_neighbours" or self.neighbours or self.fusion
        if self.views and chosen:
            msg = "backend, neighbours and fusion: expected views: false, since every view has LOF"
            raise ValueError(f"{msg} and density-normalised neighbours; set it, or leave them out")
        return self


class SpectralAdacosRecipe(EmbeddingRecipe):
    """Two branches, 2.56 million weights with windows of 10 s at 16 kHz."""

    model: Literal["spectral_adacos"] = "spectral_adacos"
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def branches(self) -> Branches:
        """Return the network."""
        dims = self.embedding_dims
        spectrogram = SpectrogramBranch(self.n_fft, self.hop_length, dims=dims)
        return Branches([SpectrumBranch(self.window_samples, dims), spectrogram])


class EmbeddingNetwork(nn.Module):
    """Branches with their loss."""

    def __init__(self, branches: Branches, recipe: EmbeddingRecipe, classes: int) -> None:
        super().__init__()
        self.branches = branches
        self.loss = EmbeddingLoss(
            [recipe.embedding_dims] * len(branches.branches),
            classes,
            recipe.sub_clusters,
            trainable=recipe.trainable_centres,
            dynamic_scale=recipe.dynamic_scale,
            feature_exchange=recipe.feature_exchange,
            subspace=recipe.subspace,
        )

    def forward(self, waveform: Tensor, labels: Tensor, exchanged: Tensor, order: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)``.
        labels
            ``(batch, classes)``.
        exchanged, order
            See :class:`~asd_offline.models.adacos.losses.Exchange`.
        """
        embeddings = self.branches(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            whole = [each.float() for each in embeddings]
            loss: Tensor = self.loss(whole, labels, Exchange(exchanged, order))
        return loss


class Ensemble(nn.Module):
    """Networks that share nothing but their batches; the sum of losses trains each by itself."""

    def __init__(self, members: Sequence[EmbeddingNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, waveform: Tensor, labels: Tensor, exchanged: Tensor, order: Tensor) -> Tensor:
        """Return the sum of the members' losses; arguments as theirs."""
        losses = [member(waveform, labels, exchanged, order) for member in self.members]
        return torch.stack(losses).sum()

    @property
    def branches(self) -> list[Branches]:
        """The members' branches."""
        return [cast("EmbeddingNetwork", member).branches for member in self.members]


class EmbeddingTask:
    """Windows of all machines, and what is to be told of them."""

    def __init__(
        self, members: Sequence[Branches], windows: LabelledWindows, recipe: EmbeddingRecipe
    ) -> None:
        networks = [EmbeddingNetwork(each, recipe, windows.classes) for each in members]
        self.network = Ensemble(networks)
        self._windows = windows
        self._recipe = recipe
        self._branches = len(members[0].branches)

    @property
    def sample_count(self) -> int:
        """How many windows an epoch has."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return what :meth:`EmbeddingNetwork.forward` takes."""
        windows, labels = self._windows.draw(indices, generator)
        windows, labels = mixup(windows, labels, self._recipe.mixup_probability, generator)
        probability = self._recipe.exchange_probability
        exchange = draw_exchange(len(indices), self._branches, probability, generator)
        return windows, labels, exchange.exchanged, exchange.order


class EmbeddingDetector(DetectorModule):
    """Waveform to embedding to the distance from normal embeddings, with a bank per target."""

    def __init__(self, members: Sequence[Branches], banks: Sequence[PerTarget]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.banks = nn.ModuleList(banks)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores = waveform.new_zeros(waveform.shape[0])
        for member, banks in zip(self.members, self.banks):  # noqa: B905 - TorchScript knows no strict
            embedding = F.normalize(torch.cat(member(waveform), dim=1), dim=1)
            scores = scores + banks(embedding, target)
        return scores / len(self.members)


def embedding_task(
    members: Sequence[Branches],
    targets: Sequence[Target],
    recipe: EmbeddingRecipe,
    features: FeatureCache,
) -> EmbeddingTask:
    """Prepare the training of one or more networks on the clips of all targets."""
    clips = [clip for target in targets for clip in target.clips]
    windows = LabelledWindows(
        clips, features, recipe.sample_rate_hz, recipe.window_samples, recipe.pseudo_classes
    )
    return EmbeddingTask(members, windows, recipe)


def embedding_detector(
    network: Ensemble, targets: Sequence[Target], recipe: EmbeddingRecipe, features: FeatureCache
) -> DetectorModule:
    """Fit the detector that a recipe asks for, with a bank for each target."""
    members = [each.eval() for each in network.branches]
    if recipe.views:
        return fit_beside(members, targets, recipe, features, finer=recipe.finer_views)
    banks = [fit_banks(each, targets, recipe, features) for each in members]
    return EmbeddingDetector(members, banks).eval()


def fit_banks(
    branches: Branches, targets: Sequence[Target], recipe: EmbeddingRecipe, features: FeatureCache
) -> PerTarget:
    """Fit the chosen back end on the embeddings of each target's clips.

    Raises
    ------
    DatasetError
        If a target has too few clips for it.
    """
    front_end = Waveform(recipe.sample_rate_hz)
    banks: list[nn.Module] = []
    for target in targets:
        sound = features.rows([clip.path for clip in target.clips], front_end)
        embeddings, groups = _embed(branches, sound, recipe)
        banks.append(fit_target_backend(recipe, target, embeddings, groups))
    return PerTarget(banks)


def _embed(branches: Branches, sound: ClipRows, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return unit vectors ``(windows, dims)``, and the clip ``(windows,)`` of each."""
    samples, hop = recipe.window_samples, recipe.hop_samples
    places = [
        (clip, start)
        for clip, count in enumerate(sound.count.tolist())
        for start in range(0, max(count - samples, 0) + 1, hop)
    ]
    kept = torch.linspace(0, len(places) - 1, min(len(places), BANK_AT_MOST)).round().long()
    places = [places[i] for i in kept.tolist()]
    device = next(branches.parameters()).device
    parts = []
    for first in range(0, len(places), BATCH):
        windows = [
            tile(sound.of(clip).squeeze(1), samples)[start : start + samples]
            for clip, start in places[first : first + BATCH]
        ]
        with torch.no_grad():
            joined = torch.cat(branches(torch.stack(windows).to(device)), dim=1)
        parts.append(F.normalize(joined, dim=1).cpu())
    return torch.cat(parts), torch.tensor([clip for clip, _ in places])


class SpectralAdacos(Model[SpectralAdacosRecipe, Ensemble]):
    """One network for all machines, a bank for each target."""

    recipe = SpectralAdacosRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network learns to tell all machines apart."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: SpectralAdacosRecipe, features: FeatureCache
    ) -> EmbeddingTask:
        """Train on windows of all clips."""
        members = [recipe.branches() for _ in range(recipe.ensemble)]
        return embedding_task(members, targets, recipe, features)

    def detector(
        self,
        networks: Mapping[str, Ensemble],
        targets: Mapping[str, Sequence[Target]],
        recipe: SpectralAdacosRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit a bank for each target."""
        return embedding_detector(networks[NETWORK], targets[NETWORK], recipe, features)
