"""STgram-MFN: a log-mel spectrogram beside a learned one, told apart by machine id.

Liu et al., "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
The published network is tied to 10 s; here its sizes follow from the window, and are the same at
10 s. Its layer that classifies without a margin is left out where the margin is in use, because
nothing ever trains it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.features.target_windows import PseudoWindows, TargetWindows, WindowSet
from asd_offline.gaussian_mixture import fit_gaussian_mixture
from asd_offline.models.stgram_mfn.arcface import ArcFace, noisy_arcmix
from asd_offline.models.stgram_mfn.detector import (
    AngularLogProbability,
    LinearLogProbability,
    StgramDetector,
    UnitBanks,
)
from asd_offline.models.stgram_mfn.mobilefacenet import Depth, MobileFaceNet
from asd_offline.recipes import Recipe

logger = logging.getLogger(__name__)

NETWORK = "all"
TORCHAUDIO_FLOOR = 1e-10
BATCH = 16

Score = Literal["log_probability_with_margin", "log_probability", "gmm", "neighbours"]


class StgramMfnRecipe(Recipe):
    """One network for all machines; a class is a machine with its id or section."""

    model: Literal["stgram_mfn"] = "stgram_mfn"
    epochs: int = Field(301, ge=0, le=100_000)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine", "halving"] = "cosine"
    constant_epochs: int = Field(20, ge=0, description="Epochs before the schedule begins.")
    final_learning_rate: float = Field(1e-5, ge=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=16)
    embedding_dims: int = Field(128, ge=2)
    depth: Depth = Field("shallow", description="deep: 15 blocks, as the authors had at first.")
    loss: Literal["arcface", "noisy_arcmix", "cross_entropy"] = "arcface"
    margin: float = Field(0.7, ge=0, lt=1.5, description="In radians.")
    scale: float = Field(30.0, gt=0)
    sub_centres: int = Field(1, ge=1)
    mixing_alpha: float = Field(0.5, gt=0, description="Of the beta distribution; noisy_arcmix.")
    score: Score = "log_probability_with_margin"
    gmm_components: int = Field(1, ge=1)

    def log_mel(self) -> LogMel:
        """Return the front end: torchaudio's mel scale, no normalisation of the filters."""
        settings = LogMelSettings(
            self.sample_rate_hz,
            self.n_fft,
            self.hop_length,
            self.n_mels,
            mel_scale="htk",
            norm=None,
            floor=TORCHAUDIO_FLOOR,
        )
        return LogMel(settings)


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
        result: Tensor = self.layers(self.extractor(waveform.unsqueeze(1)))
        return result


class StgramMfn(nn.Module):
    """Waveforms to embeddings, and those to logits."""

    def __init__(self, recipe: StgramMfnRecipe, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        frames = recipe.window_samples // recipe.hop_length + 1
        plain = recipe.loss == "cross_entropy"
        classes = len(self.class_names)
        self.mixed = recipe.loss == "noisy_arcmix"
        self.log_mel = recipe.log_mel()
        self.tgram = Tgram(recipe.n_mels, recipe.n_fft, recipe.hop_length, frames)
        self.network = MobileFaceNet(
            recipe.n_mels,
            frames,
            dims=recipe.embedding_dims,
            classes=classes if plain else 0,
            depth=recipe.depth,
        )
        dims, centres = recipe.embedding_dims, recipe.sub_centres
        self.head = None if plain else ArcFace(dims, classes, centres, recipe.margin, recipe.scale)

    def sgram(self, waveform: Tensor) -> Tensor:
        """Return decibels ``(batch, n_mels, frames)`` of ``(batch, samples)``."""
        decibels: Tensor = self.log_mel(waveform)
        return decibels.transpose(1, 2)

    def embed(self, sgram: Tensor, tgram: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of two pictures ``(batch, n_mels, frames)``."""
        embedding: Tensor = self.network(torch.stack([sgram, tgram], dim=1))
        return embedding

    def forward(
        self,
        waveform: Tensor,
        label: Tensor,
        partner: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)``.
        label
            ``(batch,)`` int64.
        partner
            ``(batch,)`` int64: the row that each is mixed with (Noisy-ArcMix).
        weight
            Share of a row in its mixture, a scalar.
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


class StgramTask:
    """Windows of all machines with their classes."""

    def __init__(self, network: StgramMfn, windows: WindowSet, recipe: StgramMfnRecipe) -> None:
        self.network: nn.Module = network
        self._windows = windows
        self._mixed = recipe.loss == "noisy_arcmix"
        self._alpha = recipe.mixing_alpha

    @property
    def samples(self) -> int:
        """How many windows an epoch has."""
        return len(self._windows)

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return what :meth:`StgramMfn.forward` takes."""
        waveform, label = self._windows.draw(chosen, generator)
        if not self._mixed:
            return waveform, label
        partner = torch.randperm(len(chosen), generator=generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        weight = np.random.default_rng(seed).beta(self._alpha, self._alpha)
        return waveform, label, partner, torch.tensor(weight, dtype=torch.float32)


class StgramMfnModel:
    """One network for all machines; a score by class or by what is usual for each target."""

    recipe = StgramMfnRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network learns to tell all machines and ids apart."""
        return {NETWORK: tuple(targets)}

    def task(self, targets: Sequence[Target], recipe: Recipe, features: FeatureCache) -> StgramTask:
        """Train on windows of all clips; on pseudo-classes where there is only one id."""
        own = cast("StgramMfnRecipe", recipe)
        rate, samples = own.sample_rate_hz, own.window_samples
        windows: WindowSet
        if len(targets) == 1:
            logger.warning("%s; %s", only_one(targets[0]), "it is scored by its neighbours")
            windows = PseudoWindows(targets[0], features, rate, samples)
        else:
            windows = TargetWindows(targets, features, rate, samples)
        return StgramTask(StgramMfn(own, windows.class_names), windows, own)

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: Recipe,
        features: FeatureCache,
    ) -> nn.Module:
        """Fit mixtures or banks where the score needs them, and the usual spectrum."""
        own = cast("StgramMfnRecipe", recipe)
        network = cast("StgramMfn", networks[NETWORK]).eval()
        chosen = tuple(targets[NETWORK])
        windows = TargetWindows(chosen, features, own.sample_rate_hz, own.window_samples)
        usual = _usual_spectrum(network, windows)
        scorer, facts = _scorer(network, chosen, own, windows)
        return StgramDetector(network, scorer, usual, facts).eval()


def only_one(target: Target) -> str:
    """Say that there is nothing to tell apart."""
    return f"{target.name} is the only machine id, so there are no ids to tell apart"


def _scorer(
    network: StgramMfn, targets: Sequence[Target], recipe: StgramMfnRecipe, windows: TargetWindows
) -> tuple[nn.Module, dict[str, object]]:
    known = {name: place for place, name in enumerate(network.class_names)}
    alone = not all(target.name in known for target in targets)
    score = "neighbours" if alone else recipe.score
    facts: dict[str, object] = {
        "score": score,
        "evidence": "fall of the score without this part of the log-mel spectrogram",
    }
    if alone and recipe.score != score:
        facts["score_note"] = f"{only_one(targets[0])}: neighbours in place of {recipe.score}"
    if score in ("gmm", "neighbours"):
        return UnitBanks(_fit_banks(network, score, recipe, windows)), facts
    places = [known[target.name] for target in targets]
    if network.head is None:
        return LinearLogProbability(cast("nn.Module", network.network.classifier), places), facts
    with_margin = score == "log_probability_with_margin"
    return AngularLogProbability(network.head, places, with_margin=with_margin), facts


def _fit_banks(
    network: StgramMfn, score: str, recipe: StgramMfnRecipe, windows: TargetWindows
) -> PerTarget:
    embeddings = torch.cat(
        [
            F.normalize(network.embed(network.sgram(each), network.tgram(each)), dim=1).cpu()
            for each in _batches(windows, network)
        ]
    )
    banks: list[nn.Module] = []
    for place in range(len(windows.class_names)):
        own = embeddings[windows.label == place]
        if score == "gmm":
            banks.append(fit_gaussian_mixture(own, recipe.gmm_components))
        else:
            banks.append(fit_neighbours(own, cosine=True))
    return PerTarget(banks)


def _usual_spectrum(network: StgramMfn, windows: TargetWindows) -> Tensor:
    """Return the mean decibels ``(n_mels,)`` of all windows."""
    means = [network.sgram(each).mean(2).sum(0).cpu() for each in _batches(windows, network)]
    return torch.stack(means).sum(0) / len(windows)


def _batches(windows: TargetWindows, network: nn.Module) -> Iterator[Tensor]:
    device = next(network.parameters()).device
    with torch.no_grad():
        for chosen in torch.split(torch.arange(len(windows)), BATCH):
            yield windows.windows(chosen).to(device)
