"""AEGAN-AD: an autoencoder whose output must also look real to a discriminator.

Jiang et al., "Unsupervised anomaly detection and localization of machine audio: a GAN-based
approach", ICASSP 2023 (arXiv 2303.17949). One network for each machine type; labels are not
used.

The published results are those of the best of nineteen scores and of all epochs, chosen on the
labelled test clips. Here the last epoch counts, and one score: by default ``g_x_l2_mean``,
because it is what the generator is trained to minimise. That rule needs no labels.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator as RandomGenerator
from torch import Tensor

from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.segments import (
    check_window,
    clip_segments,
    segment_starts,
    starts_within,
)
from asd_offline.models.aegan_ad.detector import AeganAdDetector, MachineScorer
from asd_offline.models.aegan_ad.network import AeganAd
from asd_offline.models.aegan_ad.recipe import SEGMENT_SIZE, AeganAdRecipe
from asd_offline.models.aegan_ad.scores import fit_embedding_scores
from asd_offline.models.protocol import DetectorModule, Model

MIN_RANGE_DB = 1.0
MAX_SEGMENTS = 64
"""Embedded at once: about 200 MB with the published network."""


class DecibelSegments:
    """Training samples: segments of all clips, with two optimiser steps per batch."""

    steps_per_batch = 2

    def __init__(self, clips: ClipRows, recipe: AeganAdRecipe) -> None:
        minima, maxima = extremes(clips)
        floors = maxima - recipe.top_db  # (clips,)
        low = torch.maximum(minima, floors).min()
        high = torch.maximum(maxima.max(), low + MIN_RANGE_DB)
        self.network = AeganAd(recipe, low, high)
        self._rows = clips.rows
        self._offsets = torch.arange(SEGMENT_SIZE)
        hop = recipe.train_hop_frames
        self._starts = segment_starts(clips, SEGMENT_SIZE, hop)
        segments_per_clip = [
            len(starts_within(frames, SEGMENT_SIZE, hop)) if frames >= SEGMENT_SIZE else 0
            for frames in clips.count.tolist()
        ]
        self._floors = floors.repeat_interleave(torch.tensor(segments_per_clip))[:, None, None]

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
        self._offsets, self._floors = self._offsets.to(device), self._floors.to(device)

    def draw(self, indices: Tensor, generator: RandomGenerator) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, 128, 128)``."""
        del generator  # only the order is random
        rows = self._rows[self._starts[indices, None] + self._offsets]
        return (torch.maximum(rows, self._floors[indices]),)


def extremes(clips: ClipRows) -> tuple[Tensor, Tensor]:
    """Return the minimum and the maximum of each clip, both ``(clips,)``."""
    pairs = [clips.of(index).aminmax() for index in range(len(clips.first))]
    return torch.stack([pair.min for pair in pairs]), torch.stack([pair.max for pair in pairs])


class AeganAdModel(Model[AeganAdRecipe, AeganAd]):
    """One network for each machine."""

    recipe = AeganAdRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to each machine, for all of its ids or sections."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: AeganAdRecipe, features: FeatureCache
    ) -> DecibelSegments:
        """Prepare training on segments of all clips, scaled to their range in decibels."""
        check_window(SEGMENT_SIZE, recipe.hop_length, recipe)
        return DecibelSegments(_log_mel_rows(targets, recipe, features), recipe)

    def detector(
        self,
        networks: Mapping[str, AeganAd],
        targets: Mapping[str, Sequence[Target]],
        recipe: AeganAdRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Embed the clips of each target, and average their spectrograms."""
        machines, machine_of_target = [], []
        embeddings: list[Tensor] = []
        mean_normal: list[Tensor] = []
        for index, (name, network) in enumerate(networks.items()):
            machine = MachineScorer(network).eval()
            machines.append(machine)
            machine_of_target += [index] * len(targets[name])
            references = [
                _references(machine, target, recipe, features) for target in targets[name]
            ]
            mean_normal += [spectrogram for _, spectrogram in references]
            by_target = [rows for rows, _ in references]
            if recipe.reference == "machine":
                by_target = [torch.cat(by_target)] * len(by_target)
            embeddings += by_target
        return AeganAdDetector(
            recipe,
            machines,
            machine_of_target,
            fit_embedding_scores(embeddings),
            torch.stack(mean_normal),
        ).eval()


def _log_mel_rows(
    targets: Sequence[Target], recipe: AeganAdRecipe, features: FeatureCache
) -> ClipRows:
    paths = [clip.path for target in targets for clip in target.clips]
    return features.rows(paths, recipe.log_mel())


def _references(
    machine: MachineScorer, target: Target, recipe: AeganAdRecipe, features: FeatureCache
) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(windows, dims)`` and the mean scaled spectrogram ``(frames, 128)``."""
    clips = _log_mel_rows([target], recipe, features)
    frames = recipe.window_samples // recipe.hop_length + 1
    device = machine.low.device
    starts = torch.cat(
        [
            torch.arange(first, first + count - frames + 1, frames)
            for first, count in zip(clips.first.tolist(), clips.count.tolist(), strict=True)
        ]
    )
    segments_per_window = len(starts_within(frames, SEGMENT_SIZE, recipe.score_hop_frames))
    embeddings, total = [], torch.zeros(frames, SEGMENT_SIZE)
    for chosen in torch.split(starts, max(1, MAX_SEGMENTS // segments_per_window)):
        windows = clips.rows[chosen[:, None] + torch.arange(frames)]  # (windows, frames, 128)
        windows = torch.maximum(windows, windows.amax((1, 2), keepdim=True) - recipe.top_db)
        windows = windows.to(device)
        with torch.no_grad():
            segments, _ = clip_segments(windows, SEGMENT_SIZE, recipe.score_hop_frames)
            embeddings.append(machine.embed(segments).cpu())
            total += machine.scale(windows).sum(0).cpu()
    return torch.cat(embeddings), total / len(starts)
