"""An embedding and statistical feature groups, scored separately and fused to one score.

A network trained to classify machines may ignore what a fault changes; the feature groups need no
labels and miss other faults. Each is scored by local densities, standardised on left-out normal
sound, and the scores are fused so that the largest one dominates (log-mean-exp).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from asd_monitor.errors import DatasetError
from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups
from asd_monitor.quickstart.network import (
    BACKENDS_PER_GROUP,
    FusedScores,
    Fusion,
    TargetScorer,
    fit_fusion,
    fit_group,
)
from asd_monitor.quickstart.training_windows import (
    Recording,
    TrainingWindows,
    evenly_spaced_indices,
    frame_recordings,
)
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.fine_features import FRAME_MEAN_GROUP_NAMES
from asd_offline.models.adacos.joint_features import ALL_GROUP_NAMES, JointFeatures
from asd_offline.models.adacos.within_class_projection import (
    ProjectedGroups,
    ProjectedScorer,
    fit_within_class_projection,
)
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import Recipe

FOLDS = 10
MAX_WINDOWS = 1200
"""Of each target, evenly spaced."""
MIN_WINDOWS = 40
"""Targets with fewer windows borrow from others: 10 to 20 clips gain by it, 40 do not."""
BATCH = 16


class FusedDetector(DetectorModule):
    """Waveform to score, with backends for every feature group and embedding of each target.

    Parameters
    ----------
    front
        Waveform to feature groups and embeddings.
    scorers, fusions
        One of each for every target.
    """

    def __init__(
        self, front: JointFeatures, scorers: Sequence[ProjectedScorer], fusions: Sequence[Fusion]
    ) -> None:
        super().__init__()
        self.front = front
        self.scores = FusedScores(scorers, fusions)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores: Tensor = self.scores(self.front(waveform), target)
        return scores


@dataclass(frozen=True)
class _NormalFeatures:
    """Features of one target's normal windows."""

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


def fit_fused_detector(
    members: Sequence[Branches],
    targets: Sequence[Target],
    recipe: Recipe,
    features: FeatureCache,
    *,
    fine: bool,
) -> FusedDetector:
    """Fit the scores of all feature groups and embeddings, and their fusion, for each target.

    A target with few windows borrows from the machine's other ids or sections, which vary in
    a similar way about a mean of their own (as Yin et al., "Feature transfer learning for
    face recognition with under-represented data", CVPR 2019, transfer variation to persons with
    few pictures).

    Parameters
    ----------
    members
        Trained networks.
    targets
        In the order of the detector's ``target`` argument.
    recipe
        Sample rate, window and hop.
    features
        Cache of the clips' samples.
    fine
        Whether to add the fine and the projected feature groups.

    Raises
    ------
    DatasetError
        If a target has too few clips that are not silent.
    """
    groups = FeatureGroups(recipe.sample_rate_hz, recipe.window_samples)
    front = JointFeatures(groups, members, fine=fine)
    device = next(members[0].parameters()).device
    front.eval().to(device)
    normal = [_normal_features(front, t.clips, recipe, features, device) for t in targets]
    scorers, fusions = [], []
    for target, own in zip(targets, normal, strict=True):
        projected = _fit_projections(own)
        others = [
            replace(other, features=projected(other.features))
            for other_target, other in zip(targets, normal, strict=True)
            if other_target.machine == target.machine and other is not own and len(other)
        ]
        transferred = _transfer_from_other_targets(others, MIN_WINDOWS - len(own))
        extended = replace(own, features=projected(own.features))
        scorer, fusion = _fit_target(target, extended, transferred)
        scorers.append(ProjectedScorer(projected, scorer))
        fusions.append(fusion)
    held_out = [_normal_features(front, t.held_out, recipe, features, device) for t in targets]
    embedding_scores = BACKENDS_PER_GROUP * len(members)
    fusions = _inflate_embedding_scales(scorers, fusions, held_out, targets, embedding_scores)
    return FusedDetector(front, scorers, fusions).to(device).eval()


def _normal_features(
    front: JointFeatures,
    clips: Sequence[Clip],
    recipe: Recipe,
    features: FeatureCache,
    device: torch.device,
) -> _NormalFeatures:
    sound = features.rows([clip.path for clip in clips], Waveform(recipe.sample_rate_hz))
    recordings = [
        Recording(clip.name, sound.of(index).squeeze(1).numpy()) for index, clip in enumerate(clips)
    ]
    windows = frame_recordings(
        recordings, recipe.window_samples, recipe.hop_samples, recipe.sample_rate_hz
    )
    windows = windows.take(evenly_spaced_indices(len(windows), MAX_WINDOWS))
    exclusion_mask = torch.from_numpy(windows.exclusion_mask())
    window_features, frame_covariances = _compute_features(front, windows, device)
    return _NormalFeatures(window_features, exclusion_mask, windows.folds(), frame_covariances)


def _compute_features(
    front: JointFeatures, windows: TrainingWindows, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Return features ``(windows, dims)`` and mean frame covariances, on the CPU.

    Both are empty without windows.
    """
    batches: list[list[Tensor]] = []
    covariances: list[Tensor] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH])).to(device)
        with torch.no_grad():
            batches.append([group.cpu() for group in front(waveform)])
            # Summed batch by batch: one window's covariance has hundreds of dimensions squared.
            sums = [c.sum(0).cpu() / len(windows) for c in front.frame_covariances(waveform)]
        covariances = [a + b for a, b in zip(covariances, sums, strict=True)] if start else sums
    return [torch.cat(parts) for parts in zip(*batches, strict=True)], covariances


def _fit_projections(normal: _NormalFeatures) -> ProjectedGroups:
    """Fit a target's within-class projections; none without fine features."""
    indices = [ALL_GROUP_NAMES.index(name) for name in FRAME_MEAN_GROUP_NAMES]
    projections = [
        fit_within_class_projection(index, covariance)
        for index, covariance in zip(indices, normal.frame_covariances, strict=False)
    ]
    return ProjectedGroups(len(ALL_GROUP_NAMES), projections)


def _transfer_from_other_targets(
    others: Sequence[_NormalFeatures], count: int
) -> _NormalFeatures | None:
    """Return the deviations of at most ``count`` windows of other targets from their means."""
    if count <= 0 or not others:
        return None
    chosen = torch.from_numpy(evenly_spaced_indices(sum(map(len, others)), count))
    deviations = [
        torch.cat([_deviations(group) for group in same_group])[chosen]
        for same_group in zip(*(other.features for other in others), strict=True)
    ]
    mask = _block_diagonal([other.exclusion_mask for other in others])
    folds = np.concatenate([other.folds for other in others])
    return _NormalFeatures(deviations, mask[chosen][:, chosen], folds[chosen.numpy()], [])


def _deviations(group: Tensor) -> Tensor:
    """Return deviations ``(windows, dims)`` from the mean, with the unbiased variance.

    The mean of n windows takes up 1/n of their variance, which matters for a few windows.
    """
    return (group - group.mean(0)) * math.sqrt(len(group) / max(len(group) - 1, 1))


def _block_diagonal(masks: Sequence[Tensor]) -> Tensor:
    """Return one mask for windows of several targets, which may be neighbours of each other."""
    mask: Tensor = torch.block_diag(*masks)  # type: ignore[no-untyped-call]
    return mask


def _fit_target(
    target: Target, own: _NormalFeatures, transferred: _NormalFeatures | None
) -> tuple[TargetScorer, Fusion]:
    if not len(own):
        raise _too_few_windows(target, 0)
    try:
        scorer = _fit_scorer(own.features, own.exclusion_mask, transferred)
        return scorer, fit_fusion(_cross_validated_scores(own, transferred))
    except (ValueError, RuntimeError) as error:
        raise _too_few_windows(target, len(own)) from error


def _too_few_windows(target: Target, windows: int) -> DatasetError:
    return DatasetError(
        f"{target.name}: expected at least three normal clips that are not silent, "
        f"found {windows} windows in {len(target.clips)} clips; record more, or remove clips "
        "that are silent or constant"
    )


def _fit_scorer(
    features: Sequence[Tensor], exclusion_mask: Tensor, transferred: _NormalFeatures | None
) -> TargetScorer:
    if transferred is not None:
        features = [
            torch.cat([group, group.mean(0) + deviations])
            for group, deviations in zip(features, transferred.features, strict=True)
        ]
        exclusion_mask = _block_diagonal([exclusion_mask, transferred.exclusion_mask])
    # Only the name "level" matters to fit_group; what follows the quick start's groups has none.
    names = [*FEATURE_GROUP_NAMES, *("" for _ in features[len(FEATURE_GROUP_NAMES) :])]
    return TargetScorer(
        [
            fit_group(name, group, exclusion_mask)
            for name, group in zip(names, features, strict=True)
        ]
    )


def _cross_validated_scores(own: _NormalFeatures, transferred: _NormalFeatures | None) -> Tensor:
    """Return ``(windows, scores)``: each window scored without its fold and its exclusions."""
    fold_of_window = torch.from_numpy(own.folds) % FOLDS
    scores: list[Tensor] = []
    order: list[Tensor] = []
    for fold in range(FOLDS):
        left_out = torch.nonzero(fold_of_window == fold).flatten()
        if not len(left_out):
            continue
        # A window close in time to a left-out one would score it as its near copy.
        kept = torch.nonzero(~own.exclusion_mask[left_out].any(0)).flatten()
        features = [group[kept] for group in own.features]
        scorer = _fit_scorer(features, own.exclusion_mask[kept][:, kept], transferred)
        scores.append(scorer([group[left_out] for group in own.features]))
        order.append(left_out)
    return torch.cat(scores)[torch.cat(order).argsort()]


def _inflate_embedding_scales(
    scorers: Sequence[ProjectedScorer],
    fusions: Sequence[Fusion],
    held_out: Sequence[_NormalFeatures],
    targets: Sequence[Target],
    embedding_scores: int,
) -> list[Fusion]:
    """Scale the embeddings' scores by their spread on clips that the network has not seen.

    A window left out of the bank is still a training window of the network, whose embeddings
    spread less on training clips than on any others. Each of the last ``embedding_scores`` scores
    gets one factor per machine, at least 1: the root mean square of its standardised scores on the
    held-out windows of all its ids.
    """
    squares: dict[str, list[Tensor]] = defaultdict(list)
    for scorer, fusion, windows, target in zip(scorers, fusions, held_out, targets, strict=True):
        if len(windows):
            standardised = (scorer(windows.features) - fusion.centre) * fusion.inverse_scale
            squares[target.machine].append(standardised.square())
    inflated = []
    for fusion, target in zip(fusions, targets, strict=True):
        scale = fusion.inverse_scale.reciprocal()
        if target.machine in squares:
            factor = torch.cat(squares[target.machine]).mean(0).sqrt().clamp_min(1.0)
            factor[:-embedding_scores] = 1.0
            scale = scale * factor
        inflated.append(Fusion(fusion.centre, scale))
    return inflated
