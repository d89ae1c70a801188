"""Features of normal windows that the fused detector is fitted on, of one target or transferred."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asd_monitor.quickstart.training_windows import (
    Recording,
    TrainingWindows,
    evenly_spaced_indices,
    frame_recordings,
)
from asd_offline.datasets.clip import Clip
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.models.adacos.joint_features import JointFeatures
from asd_offline.recipes import Recipe

MAX_WINDOWS = 1200
"""Number of windows per target, evenly spaced."""
BATCH = 16


@dataclass(frozen=True)
class NormalFeatures:
    """Features of normal windows, and which windows may be compared with each other."""

    features: list[Tensor]
    """``(windows, dims)`` for each feature group and embedding."""
    exclusion_mask: Tensor
    """``(windows, windows)``: True where two windows must not be neighbours of each other."""
    folds: np.ndarray
    """``(windows,)``: windows of the same fold are left out together."""
    frame_covariances: list[Tensor]
    """``(dims, dims)`` each, see :meth:`FineFeatures.frame_covariances`."""

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.folds)


def compute_normal_features(
    front: JointFeatures,
    clips: Sequence[Clip],
    recipe: Recipe,
    cache: FeatureCache,
    device: torch.device,
) -> NormalFeatures:
    """Compute the features of the windows of normal clips.

    Parameters
    ----------
    front
        On ``device``.
    clips
        Of one target; silent windows are left out.
    recipe
        Sample rate, window and hop.
    cache
        Cache of the clips' samples.
    device
        Where features are computed; they are returned on the CPU.
    """
    sound = cache.rows([clip.path for clip in clips], Waveform(recipe.sample_rate_hz))
    recordings = [
        Recording(clip.name, sound.of(index).squeeze(1).numpy()) for index, clip in enumerate(clips)
    ]
    windows = frame_recordings(
        recordings, recipe.window_samples, recipe.hop_samples, recipe.sample_rate_hz
    )
    windows = windows.take(evenly_spaced_indices(len(windows), MAX_WINDOWS))
    features, frame_covariances = _compute_by_batch(front, windows, device)
    exclusion_mask = torch.from_numpy(windows.exclusion_mask())
    return NormalFeatures(features, exclusion_mask, windows.folds(), frame_covariances)


def _compute_by_batch(
    front: JointFeatures, windows: TrainingWindows, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Return features ``(windows, dims)`` and mean frame covariances; nothing without windows."""
    batches: list[list[Tensor]] = []
    covariances: list[Tensor] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH])).to(device)
        with torch.no_grad():
            batches.append([group.cpu() for group in front(waveform)])
            # Summed batch by batch: a covariance for each window would take gigabytes.
            sums = [c.sum(0).cpu() / len(windows) for c in front.frame_covariances(waveform)]
        covariances = [a + b for a, b in zip(covariances, sums, strict=True)] if start else sums
    return [torch.cat(parts) for parts in zip(*batches, strict=True)], covariances


def transfer_from_other_targets(
    others: Sequence[NormalFeatures], count: int
) -> NormalFeatures | None:
    """Return the deviations of at most ``count`` windows of other targets from their means.

    Other ids or sections of a machine vary in a similar way about their own mean (as Yin et
    al., "Feature transfer learning for face recognition with under-represented data", CVPR 2019,
    transfer variation to persons with few pictures).
    """
    if count <= 0 or not others:
        return None
    chosen = torch.from_numpy(evenly_spaced_indices(sum(map(len, others)), count))
    deviations = [
        torch.cat([_deviations(group) for group in same_group])[chosen]
        for same_group in zip(*(other.features for other in others), strict=True)
    ]
    mask = block_diagonal([other.exclusion_mask for other in others])
    folds = np.concatenate([other.folds for other in others])
    return NormalFeatures(deviations, mask[chosen][:, chosen], folds[chosen.numpy()], [])


def _deviations(group: Tensor) -> Tensor:
    """Return deviations ``(windows, dims)`` from the mean, with the unbiased variance.

    The mean of n windows takes up 1/n of their variance, which matters for a few windows.
    """
    return (group - group.mean(0)) * math.sqrt(len(group) / max(len(group) - 1, 1))


def block_diagonal(masks: Sequence[Tensor]) -> Tensor:
    """Return one mask for windows of several targets, which may be neighbours of each other."""
    mask: Tensor = torch.block_diag(*masks)  # type: ignore[no-untyped-call]
    return mask
