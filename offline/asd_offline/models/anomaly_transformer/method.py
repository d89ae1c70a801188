"""Anomaly Transformer on log-mel frames: reconstruction error and association discrepancy.

Xu et al., "Anomaly Transformer: Time series anomaly detection with association discrepancy",
ICLR 2022. No results for machine sound were ever published; compare with the autoencoder.

The published evaluation counts a whole labelled anomaly as detected once a single frame of it is
("point adjustment"). That uses the labels to correct the output, and raises even random scores to
an F1 near 0.9, so it is not done here, and there is no option for it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.segments import check_window, segment_starts
from asd_offline.models.anomaly_transformer.detector import (
    AnomalyTransformerDetector,
    FrameScorer,
)
from asd_offline.models.anomaly_transformer.network import MinimaxLoss
from asd_offline.models.anomaly_transformer.recipe import AnomalyTransformerRecipe
from asd_offline.models.protocol import DetectorModule, Model

MIN_SPREAD_DB = 1e-3


class FrameSegments:
    """Training samples: segments of consecutive frames of every clip."""

    def __init__(
        self, network: MinimaxLoss, clips: ClipRows, recipe: AnomalyTransformerRecipe
    ) -> None:
        self.network = network
        self._rows = clips.rows
        self._starts = segment_starts(clips, recipe.segment_frames, recipe.train_hop_frames)
        self._offsets = torch.arange(recipe.segment_frames)

    @property
    def sample_count(self) -> int:
        """Number of segments."""
        return len(self._starts)

    @property
    def sample_bytes(self) -> int:
        """Memory of the spectrograms."""
        return self._rows.nbytes

    def move_samples(self, device: torch.device) -> None:
        """Move the spectrograms."""
        self._rows, self._starts = self._rows.to(device), self._starts.to(device)
        self._offsets = self._offsets.to(device)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, segment_frames, n_mels)``."""
        del generator  # only the order is random
        return (self._rows[self._starts[indices, None] + self._offsets],)


class AnomalyTransformerModel(Model[AnomalyTransformerRecipe, MinimaxLoss]):
    """One network for each machine."""

    recipe = AnomalyTransformerRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to each machine, for all of its ids or sections."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: AnomalyTransformerRecipe, features: FeatureCache
    ) -> FrameSegments:
        """Prepare training on segments of all clips, each band standardised."""
        check_window(recipe.segment_frames, recipe.hop_length, recipe)
        paths = [clip.path for target in targets for clip in target.clips]
        clips = features.rows(paths, recipe.log_mel())
        frames = torch.cat([clips.of(index) for index in range(len(paths))]).double()
        mean = frames.mean(0).float()
        spread = frames.std(0).float().clamp_min(MIN_SPREAD_DB)
        return FrameSegments(MinimaxLoss(recipe, mean, spread), clips, recipe)

    def detector(
        self,
        networks: Mapping[str, MinimaxLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: AnomalyTransformerRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Return the detector; nothing is fitted besides the weights."""
        del features
        machines = [FrameScorer(network, recipe.temperature) for network in networks.values()]
        machine_of_target = [index for index, name in enumerate(networks) for _ in targets[name]]
        return AnomalyTransformerDetector(recipe, machines, machine_of_target).eval()
