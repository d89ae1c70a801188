"""Interfaces between a model, the training loop and the export."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import Recipe

RecipeT = TypeVar("RecipeT", bound=Recipe)
NetworkT = TypeVar("NetworkT", bound=nn.Module)
NetworkT_co = TypeVar("NetworkT_co", bound=nn.Module, covariant=True)


class Task(Protocol[NetworkT_co]):
    """The training of one network: its loss and its samples."""

    @property
    def network(self) -> NetworkT_co:
        """Everything that is learned; ``forward(*batch)`` returns the loss, a scalar.

        Weights and buffers of the loss belong to it as well, so that checkpoints hold all.
        """

    @property
    def sample_count(self) -> int:
        """Training samples per epoch."""

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return the batch of the samples ``indices`` ``(batch,)`` int64, on any device.

        All randomness (crops, partners for mixup) comes from ``generator``. Called from another
        thread, one batch ahead, so it must not use the network.
        """


@runtime_checkable
class MultiStepTask(Task[NetworkT_co], Protocol[NetworkT_co]):
    """A task that takes several optimiser steps with each batch.

    The network's ``forward(*batch, step)`` receives the step, from 0. Weights without a gradient
    in a step stay as they are.
    """

    @property
    def steps_per_batch(self) -> int:
        """Optimiser steps for each batch."""


@runtime_checkable
class MovableSamples(Protocol):
    """A task whose samples can be on the device, where batches are then drawn without a copy."""

    @property
    def sample_bytes(self) -> int:
        """Memory that the samples take."""

    def move_samples(self, device: torch.device) -> None:
        """Move them; :meth:`Task.draw` then takes indices of that device.

        The batches are the same, so all randomness must be in the indices.
        """


class DetectorModule(nn.Module):
    """A complete detector, ready for scripting.

    ``forward(waveform (batch, samples), target (batch,)) -> (batch,)``, higher = more anomalous.
    A subclass may export ``evidence(waveform, target) -> (batch, bands, frames)``, and
    ``scores(waveform, target) -> (batch, scores)`` if its recipe lists several scores.
    """

    def describe(self) -> dict[str, object]:
        """Return JSON-ready facts for the model file, such as units of the evidence."""
        return {}


@runtime_checkable
class HasEvidence(Protocol):
    """A detector that shows which parts of the spectrogram contribute to a score."""

    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)``."""


@runtime_checkable
class HasAllScores(Protocol):
    """A detector that computes all scores of its recipe in one pass."""

    def scores(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, scores)``, in the order of the recipe's ``score_names``."""


class Model(Protocol[RecipeT, NetworkT]):
    """A published method; ``NetworkT`` is the module that its tasks train."""

    recipe: type[RecipeT]
    """The settings, with the published values as defaults."""

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Return the names of the networks, each with the targets that it is trained for."""

    def task(
        self, targets: Sequence[Target], recipe: RecipeT, features: FeatureCache
    ) -> Task[NetworkT]:
        """Prepare the training of one network on the clips (not the held-out ones) of targets.

        Initial weights come from torch's global random state, which the caller has seeded.
        """

    def detector(
        self,
        networks: Mapping[str, NetworkT],
        targets: Mapping[str, Sequence[Target]],
        recipe: RecipeT,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the statistics and return the complete detector, ready for scripting.

        Parameters
        ----------
        networks
            Trained networks by name.
        targets
            Their targets by network. The detector's ``target`` argument is an index into all of
            them in this order.
        """
