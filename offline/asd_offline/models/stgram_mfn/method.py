"""STgram-MFN: classify machine ids from a log-mel spectrogram and a learned one.

Liu et al., "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.gmm import fit_gmm
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.target_windows import PseudoWindows, TargetWindows, WindowSet
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.models.stgram_mfn.detector import (
    AngularLogProbability,
    LinearLogProbability,
    NormalisedBackends,
    StgramDetector,
)
from asd_offline.models.stgram_mfn.network import StgramMfn
from asd_offline.models.stgram_mfn.recipe import StgramMfnRecipe

logger = logging.getLogger(__name__)

NETWORK = "all"
BATCH = 16
GMM_MIN_VARIANCE = 1e-3
"""As in the authors' code."""


class StgramTask:
    """Training samples: windows of all machines with their classes."""

    def __init__(self, network: StgramMfn, windows: WindowSet, recipe: StgramMfnRecipe) -> None:
        self.network = network
        self._windows = windows
        self._mixes = recipe.loss == "noisy_arcmix"
        self._alpha = recipe.mixing_alpha

    @property
    def sample_count(self) -> int:
        """Number of windows in an epoch."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return the arguments of :meth:`StgramMfn.forward`."""
        waveform, label = self._windows.draw(indices, generator)
        if not self._mixes:
            return waveform, label
        partner = torch.randperm(len(indices), generator=generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        weight = np.random.default_rng(seed).beta(self._alpha, self._alpha)
        return waveform, label, partner, torch.tensor(weight, dtype=torch.float32)


class StgramMfnModel(Model[StgramMfnRecipe, StgramMfn]):
    """One network for all machines; scored by class or by a backend for each target."""

    recipe = StgramMfnRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to all targets; it learns to distinguish machines and ids."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: StgramMfnRecipe, features: FeatureCache
    ) -> StgramTask:
        """Prepare training on windows of all clips; with a single class, on pseudo-classes."""
        rate_hz, samples = recipe.sample_rate_hz, recipe.window_samples
        windows: WindowSet
        has_supplemental = recipe.supplemental_classes and any(t.supplemental for t in targets)
        if len(targets) == 1 and not has_supplemental:
            logger.warning("%s; it is scored by nearest neighbours", single_id_message(targets[0]))
            windows = PseudoWindows(targets[0], features, rate_hz, samples)
        else:
            windows = TargetWindows(
                targets, features, rate_hz, samples, supplemental=recipe.supplemental_classes
            )
        return StgramTask(StgramMfn(recipe, windows.class_names), windows, recipe)

    def detector(
        self,
        networks: Mapping[str, StgramMfn],
        targets: Mapping[str, Sequence[Target]],
        recipe: StgramMfnRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the backends that the score needs, and the mean spectrum."""
        network = networks[NETWORK].eval()
        chosen = tuple(targets[NETWORK])
        windows = TargetWindows(chosen, features, recipe.sample_rate_hz, recipe.window_samples)
        mean_spectrum = _mean_spectrum(network, windows)
        scorer, facts = _make_scorer(network, chosen, recipe, windows)
        return StgramDetector(network, scorer, mean_spectrum, facts).eval()


def single_id_message(target: Target) -> str:
    """Return the message that a single id leaves nothing to classify."""
    return f"{target.name} is the only machine id, so there is nothing to classify"


def _make_scorer(
    network: StgramMfn, targets: Sequence[Target], recipe: StgramMfnRecipe, windows: TargetWindows
) -> tuple[nn.Module, dict[str, object]]:
    """Return the scorer of embeddings, and facts for the manifest."""
    class_index = {name: index for index, name in enumerate(network.class_names)}
    has_pseudo_classes = not all(target.name in class_index for target in targets)
    score = "neighbours" if has_pseudo_classes else recipe.score
    facts: dict[str, object] = {
        "score": score,
        "evidence": "decrease of the score without this part of the log-mel spectrogram",
    }
    if recipe.score != score:
        facts["score_note"] = f"{single_id_message(targets[0])}: {score} instead of {recipe.score}"
    if score in ("gmm", "neighbours"):
        return NormalisedBackends(_fit_backends(network, score, recipe, windows)), facts
    classes = [class_index[target.name] for target in targets]
    if network.head is None:
        return LinearLogProbability(cast("nn.Module", network.network.classifier), classes), facts
    with_margin = score == "log_probability_with_margin"
    return AngularLogProbability(network.head, classes, with_margin=with_margin), facts


def _fit_backends(
    network: StgramMfn, score: str, recipe: StgramMfnRecipe, windows: TargetWindows
) -> PerTarget:
    embeddings = torch.cat(
        [
            F.normalize(network.embed(network.sgram(batch), network.tgram(batch)), dim=1).cpu()
            for batch in _batches(windows, network)
        ]
    )
    backends: list[nn.Module] = []
    for label in range(len(windows.class_names)):
        rows = embeddings[windows.label == label]
        if score == "gmm":
            backends.append(
                fit_gmm(
                    rows,
                    components=recipe.gmm_components,
                    shrink=False,
                    min_variance=GMM_MIN_VARIANCE,
                    best_component=True,
                )
            )
        else:
            backends.append(fit_neighbours(rows, cosine=True))
    return PerTarget(backends)


def _mean_spectrum(network: StgramMfn, windows: TargetWindows) -> Tensor:
    """Return the mean decibels ``(n_mels,)`` of all windows."""
    sums = [network.sgram(batch).mean(2).sum(0).cpu() for batch in _batches(windows, network)]
    return torch.stack(sums).sum(0) / len(windows)


def _batches(windows: TargetWindows, network: nn.Module) -> Iterator[Tensor]:
    device = next(network.parameters()).device
    with torch.no_grad():
        for chosen in torch.split(torch.arange(len(windows)), BATCH):
            yield windows.windows(chosen).to(device)
