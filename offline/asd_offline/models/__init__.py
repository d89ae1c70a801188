"""Models: from training clips to a module that the monitor runs.

A model is one file, one line in :data:`MODELS`, and one recipe in ``configs/train/``.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.models.adacos.multires import MultiresAdacos
from asd_offline.models.adacos.spectral import SpectralAdacos
from asd_offline.models.aegan_ad.method import AeganAdModel
from asd_offline.models.anomaly_transformer.method import AnomalyTransformer
from asd_offline.models.autoencoder.mahalanobis import AutoencoderMahalanobis
from asd_offline.models.autoencoder.mse import Autoencoder
from asd_offline.models.mobilenetv2.method import MobileNetV2Model
from asd_offline.models.modulation_knn import ModulationNeighbours
from asd_offline.models.pretrained.method import Pretrained
from asd_offline.models.stgram_mfn.method import StgramMfnModel
from asd_offline.models.twfr_gmm import TwfrGmm
from asd_offline.recipes import Recipe


class Task(Protocol):
    """What the training loop needs to know of one network."""

    @property
    def network(self) -> nn.Module:
        """Everything that is learned; ``forward(*batch)`` returns the loss, a scalar.

        Weights and buffers of the loss belong to it as well, so that checkpoints hold all.
        """

    @property
    def samples(self) -> int:
        """How many training samples an epoch has."""

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return the batch of the samples ``chosen`` ``(batch,)`` int64, on any device.

        What is random (crops, partners for mixup) comes from ``generator``. Called from a thread
        of its own, one batch ahead, so it must not touch the network.
        """


@runtime_checkable
class SteppedTask(Task, Protocol):
    """A task whose batches are each used for several steps of the optimiser, one after the other.

    The network's ``forward(*batch, step)`` counts them from 0; weights that a step's loss does not
    reach stay as they are.
    """

    @property
    def steps(self) -> int:
        """How many steps there are for each batch."""


class QuickStep(Protocol):
    """A way to gradients without autograd."""

    @property
    def precision(self) -> torch.dtype:
        """Of products and activations."""

    def __call__(self, vectors: Tensor, /) -> Tensor:
        """Return the loss of a batch.

        Writes ``.grad`` of the weights, and updates running statistics as ``forward`` in training
        mode would.
        """


@runtime_checkable
class QuickTask(Task, Protocol):
    """A task that has a quicker step on a CPU, in one process."""

    def quick_step(self) -> QuickStep:
        """Return it, after the weights have found their place in memory."""


class Model(Protocol):
    """One published method."""

    @property
    def recipe(self) -> type[Recipe]:
        """The settings, with the published values as defaults."""

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Say which networks there are, and which targets each is trained with and scores."""

    def task(self, targets: Sequence[Target], recipe: Recipe, features: FeatureCache) -> Task:
        """Prepare the training of one network on the clips (not the held-out ones) of targets.

        The network starts from torch's global random state, which the loop has seeded.
        """

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: Recipe,
        features: FeatureCache,
    ) -> nn.Module:
        """Fit the statistics and return the whole path, ready to be scripted.

        Parameters
        ----------
        networks
            Trained networks by name.
        targets
            Their targets by network. The detector's ``target`` argument counts through them in
            this order.

        Returns
        -------
        torch.nn.Module
            ``forward(waveform (batch, samples), target (batch,)) -> (batch,)``, higher = more
            anomalous; and where it can, ``evidence(waveform, target) -> (batch, bands, frames)``.
        """


MODELS: dict[str, Model] = {
    "autoencoder": Autoencoder(),
    "autoencoder_mahalanobis": AutoencoderMahalanobis(),
    "twfr_gmm": TwfrGmm(),
    "aegan_ad": AeganAdModel(),
    "anomaly_transformer": AnomalyTransformer(),
    "mobilenetv2": MobileNetV2Model(),
    "stgram_mfn": StgramMfnModel(),
    "spectral_adacos": SpectralAdacos(),
    "modulation_neighbours": ModulationNeighbours(),
    "multires_adacos": MultiresAdacos(),
    "pretrained": Pretrained(),
}

__all__ = ["MODELS", "Clip", "Model", "QuickStep", "QuickTask", "SteppedTask", "Task"]
